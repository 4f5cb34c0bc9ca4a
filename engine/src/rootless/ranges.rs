//! Which ids besides their own a user may use: `/etc/subuid` and `/etc/subgid` (subuid(5)).

use super::id_map::IdRange;

/// A line of `/etc/passwd`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account<'a> {
    pub(super) name: &'a str,
    pub(super) home: &'a str,
}

impl<'a> Account<'a> {
    /// The first of this number.
    pub(super) fn find(passwd: &'a str, uid: u32) -> Option<Self> {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let number: u32 = fields.nth(1)?.parse().ok()?;
            let home = fields.nth(2)?;
            (number == uid).then_some(Self { name, home })
        })
    }
}

/// The ranges of a user, by name or by number, as `newuidmap` looks them up. The ids in the
/// namespace follow one another from 1 on.
pub(super) fn ranges(text: &str, name: &str, uid: u32) -> Vec<IdRange> {
    let number = uid.to_string();
    let mut next = 1_u32;
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(owner), Some(first), Some(count)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if owner != name && owner != number {
            continue;
        }
        let (Ok(host), Ok(count)) = (first.trim().parse::<u32>(), count.trim().parse::<u32>())
        else {
            continue;
        };
        let ends = (next.checked_add(count), host.checked_add(count));
        if let (Some(end), Some(_), 1..) = (ends.0, ends.1, count) {
            found.push(IdRange {
                inside: next,
                host,
                count,
            });
            next = end;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_by_number_and_laid_end_to_end() {
        let text = "# people\nme:100000:65536\nother:1:1\n1000:300000:10\nme:x:3\nme:7:0\n";
        let found = ranges(text, "me", 1000);
        let all: Vec<_> = found.iter().map(|r| (r.inside, r.host, r.count)).collect();
        assert_eq!(all, [(1, 100_000, 65_536), (65_537, 300_000, 10)]);
        assert!(ranges(text, "nobody", 1001).is_empty());
    }

    #[test]
    fn ranges_beyond_the_last_id_are_left_out() {
        assert!(ranges("me:4294967295:2\n", "me", 1).is_empty());
        assert!(ranges("me:5:4294967295\n", "me", 1).is_empty());
    }

    #[test]
    fn an_account_is_found_by_its_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nme:x:1000:1000::/home/me:/bin/sh\n";
        let me = Account {
            name: "me",
            home: "/home/me",
        };
        assert_eq!(Account::find(passwd, 1000), Some(me));
        assert_eq!(Account::find(passwd, 1), None);
    }
}
