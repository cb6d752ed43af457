//! What the operating system says of a file system and of its clock, for those who ask how a server's host is.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Room on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Its size, in bytes.
    pub total: u64,
    /// Bytes that this user may still take.
    pub free: u64,
    /// Files that may still be made; `None` where the file system has no such limit.
    pub free_files: Option<u64>,
}

/// The room on the file system that holds a path.
///
/// # Errors
/// When the path is not there, or may not be looked at.
pub fn space(path: &Path) -> io::Result<Space> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    #[expect(unsafe_code, reason = "the standard library cannot ask for a file system's room")]
    // SAFETY: statvfs reads the path, which ends in a zero byte and lives through the call, and writes one statvfs.
    let asked = unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    #[expect(unsafe_code, reason = "it was written by the call above")]
    // SAFETY: statvfs answered 0, so it has filled the whole structure.
    let found = unsafe { found.assume_init() };
    let unit = found.f_frsize;
    Ok(Space {
        total: found.f_blocks.saturating_mul(unit),
        free: found.f_bavail.saturating_mul(unit),
        free_files: (found.f_files > 0).then_some(found.f_favail),
    })
}

/// Whether the kernel knows its clock to be held by a time server; `None` where it does not say.
pub fn clock_is_synchronised() -> Option<bool> {
    let mut asked = std::mem::MaybeUninit::<libc::timex>::zeroed();
    #[expect(unsafe_code, reason = "the standard library cannot ask for the clock's state")]
    // SAFETY: all zeros is a valid timex; with modes 0 adjtimex changes nothing and writes one timex.
    let state = unsafe { libc::adjtimex(asked.as_mut_ptr()) };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_room_and_a_missing_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let space = space(dir.path()).unwrap();
        assert!(space.total >= space.free && space.total > 0, "{space:?}");
        assert!(super::space(&dir.path().join("missing")).is_err());
    }
}
