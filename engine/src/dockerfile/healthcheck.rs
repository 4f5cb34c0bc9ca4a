//! `HEALTHCHECK`: its options, and the two ways of writing a command.

use jiff::SignedDuration;

use super::config_instruction::{Command, InstructionError};
use crate::image::config::Healthcheck;

/// Reads what follows `HEALTHCHECK`.
pub(super) fn parse(text: &str) -> Result<Healthcheck, InstructionError> {
    let wrong = |why: String| InstructionError::Arguments {
        instruction: "HEALTHCHECK",
        why,
    };
    let mut check = Healthcheck::default();
    let mut rest = text.trim_start();
    while let Some(option) = rest.strip_prefix("--") {
        let end = option.find(char::is_whitespace).unwrap_or(option.len());
        let (option, behind) = option.split_at(end);
        let (name, value) = option
            .split_once('=')
            .ok_or_else(|| wrong(format!("`--{option}` has no `=` and value")))?;
        let place = match name {
            "interval" => &mut check.interval,
            "timeout" => &mut check.timeout,
            "start-period" => &mut check.start_period,
            "start-interval" => &mut check.start_interval,
            "retries" => &mut check.retries,
            _ => return Err(wrong(format!("there is no option `--{name}`"))),
        };
        *place = if name == "retries" {
            let retries = value.parse().ok().filter(|retries: &i64| *retries > 0);
            retries.ok_or_else(|| wrong(format!("`--retries={value}` is no number from 1 on")))?
        } else {
            nanoseconds(value)
                .ok_or_else(|| wrong(format!("`--{option}` is no time such as `30s` or `1m30s`")))?
        };
        rest = behind.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    check.test = match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.trim().is_empty() && check == Healthcheck::default() => {
            vec!["NONE".to_owned()]
        }
        "NONE" => {
            return Err(wrong(
                "`NONE` takes neither options nor arguments".to_owned(),
            ));
        }
        "CMD" => {
            let (first, words) = match Command::parse(command) {
                Command::Exec(words) => ("CMD", words),
                Command::Shell(script) => ("CMD-SHELL", vec![script]),
            };
            if words.iter().all(String::is_empty) {
                return Err(wrong("`CMD` has no command".to_owned()));
            }
            [first.to_owned()].into_iter().chain(words).collect()
        }
        _ => {
            return Err(wrong(format!(
                "`{kind}` is neither `CMD` nor `NONE`, which come after the options"
            )));
        }
    };
    Ok(check)
}

/// Docker takes no time below a millisecond, but for none at all: that is the default.
fn nanoseconds(text: &str) -> Option<i64> {
    let time = match text {
        "0" => SignedDuration::ZERO,
        text => text.parse::<SignedDuration>().ok()?,
    };
    let fits = time.is_zero() || time >= SignedDuration::from_millis(1);
    let nanoseconds = i64::try_from(time.as_nanos()).ok();
    nanoseconds.filter(|_| fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_first_and_then_a_command() {
        let check = parse("--interval=1m30s --retries=2 --timeout=500ms CMD curl -f x || exit 1");
        assert_eq!(
            check.unwrap(),
            Healthcheck {
                test: vec!["CMD-SHELL".into(), "curl -f x || exit 1".into()],
                interval: 90_000_000_000,
                timeout: 500_000_000,
                retries: 2,
                ..Healthcheck::default()
            }
        );
        assert_eq!(parse(r#"cmd ["a", "b"]"#).unwrap().test, ["CMD", "a", "b"]);
        assert_eq!(parse("NONE").unwrap().test, ["NONE"]);
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                "",
                "CMD",
                "RUN x",
                "NONE x",
                "--retries=0 CMD x",
                "--interval=5 CMD x",
                "--interval=1us CMD x",
                "--often CMD x",
                "--color=red CMD x",
            ]
            .map(refused)
            .join("\n")
        );
    }
}
