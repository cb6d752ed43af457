//! Who runs first when all cores are busy: threads that acknowledge events, then queries, then work nobody waits for.

/// How much of the machine a piece of background work takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One thread that runs when others leave room: nobody waits for it.
    Calm,
    /// Whatever makes it end sooner: somebody waits for it, or memory runs out.
    Hurried,
}

impl Pace {
    /// How many of `most` threads to use.
    pub fn threads(self, most: usize) -> usize {
        match self {
            Self::Calm => 1,
            Self::Hurried => most,
        }
    }
}

/// Niceness of threads that run queries.
pub(crate) const QUERY_NICENESS: i32 = 5;
/// Niceness of threads that do calm background work.
pub(crate) const CALM_NICENESS: i32 = 10;

/// Lowers the calling thread's priority, and that of threads it starts. On Linux niceness belongs to the thread; elsewhere
/// it is the process's, and left alone. A refusal only costs the preference. There is no way back without privileges, so
/// this is for threads of one purpose.
pub(crate) fn yield_to_others(niceness: i32) {
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "the standard library cannot set a thread's priority")]
    // SAFETY: setpriority takes three integers and touches no memory of ours; 0 names the calling thread.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, niceness);
    }
}
