//! How often a day's verdict `again` counts: its reason begins with the number, once the worker has counted the day. Of a failure it
//! ends with what was said at the last of these times. Pure.

/// What stands before the number, and behind it.
const BEGIN: &str = "Recorded ";
const END: &str = " times on this day.";
/// What stands before what was said last.
const LAST: &str = "\n\nThe last of these times:\n\n";

/// The reason of a verdict `again` that stands for so many `times` on its day: `because`, with the number before it, and `last`, which was
/// said at the last of them, behind it. It never says less than `because` does. `None` if that says it already.
pub fn counted(because: &str, times: u64, last: Option<&str>) -> Option<String> {
    let counted = parts(because).map(|(_, text)| text.rsplit_once(LAST).map_or(text, |(first, _)| first));
    let text = counted.unwrap_or(because);
    let last = last.map(str::trim).filter(|last| !last.is_empty() && *last != text.trim());
    let said = match last {
        None => text.to_owned(),
        Some(last) if text.trim().is_empty() => last.to_owned(),
        Some(last) => format!("{}{LAST}{last}", text.trim_end()),
    };
    (times > self::times(because)).then(|| format!("{BEGIN}{times}{END}\n\n{said}"))
}

/// For how many times a verdict `again` with the reason `because` stands.
pub fn times(because: &str) -> u64 {
    parts(because).map_or(1, |(times, _)| times)
}

fn parts(because: &str) -> Option<(u64, &str)> {
    let (line, text) = because.split_once("\n\n").unwrap_or((because.trim_end(), ""));
    let times = line.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let is_number = !times.is_empty() && times.bytes().all(|byte| byte.is_ascii_digit()) && !times.starts_with('0');
    // More are not counted in a day.
    let times = times.parse::<u32>().ok().filter(|_| is_number)?;
    Some((u64::from(times), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_as_it_is_written_and_never_falls() {
        let counted = |because: &str, times| counted(because, times, None);
        let first = counted("Run clippy\n\nIt found a bug.", 3).expect("it says 1");
        assert_eq!(first, "Recorded 3 times on this day.\n\nRun clippy\n\nIt found a bug.");
        assert_eq!((times(&first), counted(&first, 3), counted(&first, 2)), (3, None, None));
        assert_eq!(
            counted(&first, 4).as_deref(),
            Some("Recorded 4 times on this day.\n\nRun clippy\n\nIt found a bug.")
        );
        assert_eq!(
            (times(""), counted("", 1), counted("", 2)),
            (1, None, Some("Recorded 2 times on this day.\n\n".into()))
        );
        assert_eq!(times("Recorded 2 times on this day."), 2);
        assert_eq!(counted("", 0), None);
        for odd in [
            "Recorded 0 times on this day.",
            "Recorded +2 times on this day.",
            "Recorded  times on this day.",
            "Recorded 99999999999999999999 times on this day.",
            "x\n\nRecorded 2 times on this day.",
        ] {
            assert_eq!(times(odd), 1, "{odd}");
        }
    }

    #[test]
    fn what_was_said_last_is_behind_it_once() {
        let first = counted("one\n\nfailed\n", 2, Some("two")).expect("it says 1");
        assert_eq!(first, "Recorded 2 times on this day.\n\none\n\nfailed\n\nThe last of these times:\n\ntwo");
        let third = counted(&first, 3, Some("three")).expect("it says 2");
        assert_eq!(third, "Recorded 3 times on this day.\n\none\n\nfailed\n\nThe last of these times:\n\nthree");
        assert_eq!(counted("one", 2, Some("one\n")).as_deref(), Some("Recorded 2 times on this day.\n\none"));
        assert_eq!(counted("", 2, Some("two")).as_deref(), Some("Recorded 2 times on this day.\n\ntwo"));
        let odd = "one\n\nThe last of these times:\n\ntold";
        assert!(counted(odd, 2, None).is_some_and(|it| it.ends_with(odd)), "a text that has these words stays");
    }
}
