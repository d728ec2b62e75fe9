//! Which versions of etcd are to be warned of.

/// Why a server of this version is not to be relied on; `None` if it is.
///
/// Older ones lack mends of leases (a leader that is none any more may renew one) and of watches.
pub(crate) fn warning(version: &str) -> Option<String> {
    let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok);
    let (Some(major), Some(minor), Some(patch)) = (next(), next(), next()) else {
        return Some(format!("etcd calls its version `{version}`, which says nothing of its leases"));
    };
    let is_good = match (major, minor) {
        (3, 5) => patch >= 23,
        (3, 6) => patch >= 5,
        other => other > (3, 6),
    };
    (!is_good)
        .then(|| format!("etcd {version} lacks mends of leases and watches: use 3.5.23, 3.6.5 or later"))
}

#[cfg(test)]
mod tests;
