//! When to make the next sealing key: by the age of the newest one, so that restarts change nothing.

use jiff::{SignedDuration, Timestamp};

/// What to do about the sealing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Make one now.
    Now,
    /// Look again at this time.
    At(Timestamp),
    /// Never: renewal is off and there is a key.
    Never,
}

/// Decides from the start of validity of the current sealing key (`None`: there is none that may seal), the period
/// (`None`: renewal is off), and the time.
pub fn decide(sealing_since: Option<Timestamp>, period: Option<SignedDuration>, now: Timestamp) -> Renewal {
    let Some(since) = sealing_since else { return Renewal::Now };
    let Some(period) = period else { return Renewal::Never };
    let due = since.checked_add(period).unwrap_or(Timestamp::MAX);
    if due <= now { Renewal::Now } else { Renewal::At(due) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_decides() {
        let since: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let day = SignedDuration::from_hours(24);
        let period = Some(day * 30);
        assert_eq!(decide(None, period, since), Renewal::Now);
        assert_eq!(decide(None, None, since), Renewal::Now);
        assert_eq!(decide(Some(since), None, since + day * 9999), Renewal::Never);
        assert_eq!(decide(Some(since), period, since), Renewal::At(since + day * 30));
        assert_eq!(decide(Some(since), period, since + day * 29), Renewal::At(since + day * 30));
        assert_eq!(decide(Some(since), period, since + day * 30), Renewal::Now);
        assert_eq!(decide(Some(since), period, since + day * 400), Renewal::Now);
    }
}
