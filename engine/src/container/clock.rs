//! Times, as every file of ours has them.

/// Now, RFC 3339 in UTC with nine decimals, as Docker writes it.
pub(super) fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}
