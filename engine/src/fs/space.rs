//! How much room a file system has.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A file system's room, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What this user may still write.
    pub available: u64,
}

/// The room of the file system that holds `path`; `None` where the system does not say.
pub fn space(path: &Path) -> Option<Space> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut said = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    #[expect(unsafe_code, reason = "the standard library cannot ask for a file system's room")]
    // SAFETY: statvfs reads the path up to its zero byte and writes one statvfs to the pointer; both are ours and valid
    // for the call. All zeroes are a statvfs, so it is initialised whatever happens.
    let said = unsafe {
        if libc::statvfs(path.as_ptr(), said.as_mut_ptr()) != 0 {
            return None;
        }
        said.assume_init()
    };
    let (block, all, free) = (wide(said.f_frsize), wide(said.f_blocks), wide(said.f_bavail));
    Some(Space { total: all.saturating_mul(block), available: free.saturating_mul(block) })
}

/// These numbers are of another width on each system.
fn wide(n: impl Into<u64>) -> u64 {
    n.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_somewhere_and_what_is_not_there_is_nowhere() {
        let room = space(&std::env::temp_dir()).unwrap();
        assert!(room.total > 0 && room.available <= room.total, "{room:?}");
        assert_eq!(space(Path::new("/there/is/no/such/folder")), None);
    }
}
