//! How many files and connections the process may have open at once.

/// Raises the soft limit to the hard one, which needs no privilege; returns what holds from now on, where the system
/// says. Systems start processes with a soft limit of 1,024, for the sake of programs that use `select`.
pub fn raise_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    #[expect(unsafe_code, reason = "the standard library cannot ask for resource limits")]
    // SAFETY: getrlimit writes one rlimit to the pointer, which is ours and valid for the call.
    let asked = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if asked != 0 {
        return None;
    }
    let before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    #[expect(unsafe_code, reason = "the standard library cannot set resource limits")]
    // SAFETY: setrlimit reads one rlimit from the pointer, which is ours and initialised.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    Some(if raised == 0 { limit.rlim_cur } else { before })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_is_the_most_the_process_may_have() {
        let first = super::raise_limit();
        assert!(first.is_some_and(|limit| limit > 0));
        assert_eq!(super::raise_limit(), first, "it was the most already");
    }
}
