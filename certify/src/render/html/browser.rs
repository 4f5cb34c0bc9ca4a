//! The page in a real browser, driven through `WebDriver` (W3C, with `ChromeDriver`'s log endpoint).

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::sample;

/// The key under which `WebDriver` names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page open; both end with the value.
struct Browser {
    _driver: Driver,
    session: String,
    // The driver dies of a closed pipe.
    _output: BufReader<ChildStdout>,
    _profile: tempfile::TempDir,
}

/// The running driver; it ends with the value, also when a step of opening fails.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Browser {
    fn open(page: &std::path::Path) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("can't run `chromedriver`: install chromium and chromium-driver (packaging/install-deps does)");
        let mut output = BufReader::new(driver.stdout.take().unwrap());
        let driver = Driver(driver);
        let port = output
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                line.split("started successfully on port ")
                    .nth(1)?
                    .trim_end_matches('.')
                    .parse::<u16>()
                    .ok()
            })
            .expect("chromedriver ended before it named its port");
        let base = format!("http://127.0.0.1:{port}/session");
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--no-first-run".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let answer = post(
            &base,
            &json!({"capabilities": {"alwaysMatch": {
                "goog:chromeOptions": {"args": arguments},
                "goog:loggingPrefs": {"browser": "ALL"},
            }}}),
        );
        let id = answer["sessionId"].as_str().expect("no session").to_owned();
        let browser = Self {
            _driver: driver,
            session: format!("{base}/{id}"),
            _output: output,
            _profile: profile,
        };
        browser.post("url", &json!({"url": format!("file://{}", page.display())}));
        browser
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        post(&format!("{}/{path}", self.session), body)
    }

    fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    fn click(&self, selector: &str) {
        let found = self.post(
            "element",
            &json!({"using": "css selector", "value": selector}),
        );
        let element = found[ELEMENT].as_str().expect("no such element").to_owned();
        self.post(&format!("element/{element}/click"), &json!({}));
    }

    fn console_errors(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({"type": "browser"}));
        let entries = log.as_array().expect("the browser's log is a list");
        entries
            .iter()
            .map(|entry| entry["message"].to_string())
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ending the session ends the browser; ending the driver alone would leave it behind.
        drop(ureq::delete(&self.session).call());
    }
}

fn post(url: &str, body: &Value) -> Value {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into();
    let mut answer = agent
        .post(url)
        .header("content-type", "application/json")
        .send(body.to_string())
        .expect("chromedriver does not answer");
    let text = answer.body_mut().read_to_string().unwrap();
    assert!(answer.status().is_success(), "{url}: {text}");
    serde_json::from_str::<Value>(&text).unwrap()["value"].clone()
}

#[test]
fn a_reader_clicks_from_the_matrix_to_the_failing_case() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("index.html");
    std::fs::write(&page, super::render(&sample::report())).unwrap();
    let browser = Browser::open(&page);

    let open = "return [...document.querySelectorAll('details.cell[open]')].map((c) => c.id)";
    let failed = json!(["cell-debian-12_6.1_amd64_overlay_v2"]);
    assert_eq!(browser.run(open), failed, "what failed is open at first");

    browser.click(r#"a.cell[data-verdict="not-certified"]"#);
    // The script opens the cell in a task of its own; the click's answer may come before it.
    let failing = browser.post(
        "execute/async",
        &json!({"script": "
            const done = arguments[0];
            const look = () => {
              const row = document.querySelector('details.cell[open] tr.case[data-outcome=fail]');
              if (row && row.getBoundingClientRect().height > 0) done(row.querySelector('code').textContent);
              else requestAnimationFrame(look);
            };
            look();", "args": []}),
    );
    assert_eq!(failing, "limits.pids");

    browser.run(
        "const box = document.getElementById('filter-text');
         box.value = 'btrfs opaque';
         box.dispatchEvent(new Event('input'));",
    );
    let shown = browser.run(
        "return [...document.querySelectorAll('details.cell')].filter((c) => !c.hidden).map((c) => c.id)",
    );
    assert_eq!(shown, json!(["cell-debian-12_6.1_amd64_btrfs_v2"]));
    let height = browser.run(
        "return document.querySelector('#cell-debian-12_6\\\\.1_amd64_btrfs_v2 tr.case').getBoundingClientRect().height",
    );
    assert!(height.as_f64() > Some(0.0), "what matches is in sight");
    browser.run(
        "const box = document.getElementById('filter-text');
         box.value = '';
         box.dispatchEvent(new Event('input'));",
    );
    assert_eq!(browser.run(open), failed, "and folded again");

    let overflow = browser.run("return document.documentElement.scrollWidth - window.innerWidth");
    assert!(
        overflow.as_i64().is_some_and(|px| px <= 0),
        "the page scrolls sideways: {overflow}"
    );
    assert_eq!(browser.console_errors(), Vec::<String>::new());
}
