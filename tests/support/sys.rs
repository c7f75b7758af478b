//! System calls that nix does not wrap: extended attributes, signals, and a shared mapping.
//!
//! The only module of the tests with `unsafe`.
#![expect(unsafe_code, reason = "libc has no safe wrappers for these calls")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::thread::JoinHandleExt as _;
use std::path::Path;
use std::ptr::NonNull;
use std::thread::JoinHandle;

fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn length(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// lsetxattr(2); `flags` as there.
///
/// # Errors
/// Those of the system call.
pub fn set_xattr(path: &Path, name: &str, value: &[u8], flags: i32) -> io::Result<()> {
    let (path, name) = (text(path.as_os_str().as_bytes())?, text(name.as_bytes())?);
    // SAFETY: both strings end with NUL, and value is as long as said; all outlive the call.
    let result = unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// lgetxattr(2).
///
/// # Errors
/// Those of the system call.
pub fn get_xattr(path: &Path, name: &str) -> io::Result<Vec<u8>> {
    let (path, name) = (text(path.as_os_str().as_bytes())?, text(name.as_bytes())?);
    let mut value = vec![0_u8; 65_536];
    // SAFETY: both strings end with NUL, and the buffer is as long as said; all outlive the call.
    let result = unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(length(result)?);
    Ok(value)
}

/// llistxattr(2), sorted.
///
/// # Errors
/// Those of the system call.
pub fn list_xattr(path: &Path) -> io::Result<Vec<String>> {
    let path = text(path.as_os_str().as_bytes())?;
    let mut names = vec![0_u8; 65_536];
    // SAFETY: the path ends with NUL, and the buffer is as long as said; both outlive the call.
    let result = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(length(result)?);
    let parts = names.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    let mut names: Vec<String> = parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    names.sort();
    Ok(names)
}

/// lremovexattr(2).
///
/// # Errors
/// Those of the system call.
pub fn remove_xattr(path: &Path, name: &str) -> io::Result<()> {
    let (path, name) = (text(path.as_os_str().as_bytes())?, text(name.as_bytes())?);
    // SAFETY: both strings end with NUL and outlive the call.
    let result = unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a signal interrupt what this program waits in, and do nothing else; `restart`: the system
/// call goes on afterwards (`SA_RESTART`).
///
/// # Panics
/// When there is no such signal.
pub fn catch(signal: i32, restart: bool) {
    extern "C" fn nothing(_signal: libc::c_int) {}
    // SAFETY: all zeros is a valid sigaction, and the handler does nothing at all.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = if restart { libc::SA_RESTART } else { 0 };
        libc::sigaction(signal, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(result, 0, "sigaction: {}", io::Error::last_os_error());
}

/// Sends a signal to one thread of this program that has not been joined.
///
/// # Panics
/// When that is refused.
pub fn signal_thread<T>(thread: &JoinHandle<T>, signal: i32) {
    // SAFETY: the handle is there, so the thread has not been joined and its id is its own.
    let result = unsafe { libc::pthread_kill(thread.as_pthread_t(), signal) };
    assert_eq!(result, 0, "pthread_kill: {}", io::Error::from_raw_os_error(result));
}

/// A shared mapping of the start of a file.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// mmap(2), `MAP_SHARED`, to read and, if asked, to write.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn new(file: &File, len: usize, write: bool) -> io::Result<Self> {
        let protection = if write { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing of ours.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(start.cast()).map(|start| Self { start, len }).ok_or_else(|| io::Error::other("mapped at 0"))
    }

    /// The bytes as they are now; another host may change them at any time.
    #[must_use]
    pub fn read(&self) -> Vec<u8> {
        // SAFETY: within the mapping; volatile, since others change it.
        (0..self.len).map(|at| unsafe { self.start.as_ptr().add(at).read_volatile() }).collect()
    }

    /// Writes bytes into a mapping made for it.
    ///
    /// # Panics
    /// When they do not fit.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.len, "past the end of the mapping");
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: within the mapping, by the check above.
            unsafe { self.start.as_ptr().add(at + index).write_volatile(*byte) };
        }
    }

    /// msync(2), `MS_SYNC`.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: exactly the mapping.
        let result = unsafe { libc::msync(self.start.as_ptr().cast(), self.len, libc::MS_SYNC) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping, which nobody can use after this.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
