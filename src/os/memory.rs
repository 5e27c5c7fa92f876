//! Memory that a master and its workers share: an anonymous file, and a mapping of it.
//!
//! `scoreboard` makes the file and maps it; `node::worker_row` maps it in a worker. The file is sealed at its size, so that
//! no process that holds the descriptor can shrink it under another's mapping (which would be a SIGBUS there).
//! Invariant: a mapping is never handed out as a Rust slice; others write at any moment, so reads and writes are atomic.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// How many bytes a word has.
pub const WORD: usize = 8;

/// Makes an anonymous file of `size` zero bytes, close-on-exec, that can be neither shrunk nor grown.
///
/// Pages that nobody writes take no memory.
///
/// # Errors
/// `ENOSYS` or `EPERM` where the kernel or a seccomp profile has no such files, `ENOMEM`, `EMFILE`.
#[cfg(target_os = "linux")]
pub fn create(name: &std::ffi::CStr, size: u64) -> io::Result<OwnedFd> {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};

    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let size = i64::try_from(size).map_err(|_| io::ErrorKind::InvalidInput)?;
    nix::unistd::ftruncate(&fd, size)?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(fd)
}

/// Says that this system has no such files.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub fn create(_name: &std::ffi::CStr, _size: u64) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A whole file, mapped for reading and writing and shared with everybody else who maps it.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: NonZeroUsize,
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: every access is atomic.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps all of `fd`, which may be closed afterwards.
    ///
    /// # Errors
    /// `EINVAL` for an empty file or one that can still be shrunk, else what mmap(2) says.
    pub fn of(fd: impl AsFd) -> io::Result<Self> {
        let size = nix::sys::stat::fstat(&fd)?.st_size;
        let len = usize::try_from(size).ok().and_then(NonZeroUsize::new);
        let len = len.filter(|_| is_fixed(&fd)).ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses an address where nothing is; the file is sealed, so every page stays backed.
        let start = unsafe { mmap(None, len, protection, MapFlags::MAP_SHARED, fd, 0) }?;
        Ok(Self { start: start.cast(), len })
    }

    /// How many bytes are mapped.
    #[must_use]
    pub fn size(&self) -> usize {
        self.len.get()
    }

    /// Reads the word with this index; 0 beyond the end.
    #[must_use]
    pub fn word(&self, index: usize) -> u64 {
        self.atomic_word(index).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Writes the word with this index; nothing beyond the end.
    pub fn set_word(&self, index: usize, value: u64) {
        if let Some(word) = self.atomic_word(index) {
            word.store(value, Ordering::Release);
        }
    }

    /// Copies `len` bytes from `offset` on, fewer at the end.
    #[must_use]
    pub fn bytes(&self, offset: usize, len: usize) -> Vec<u8> {
        let end = offset.saturating_add(len).min(self.size());
        (offset..end).filter_map(|at| Some(self.atomic_byte(at)?.load(Ordering::Relaxed))).collect()
    }

    /// Gives the mapping up for good: it stays until the process ends, and whoever has the address may use it so long.
    #[must_use]
    pub fn leak(self) -> NonNull<u8> {
        let start = self.start;
        std::mem::forget(self);
        start
    }

    fn atomic_word(&self, index: usize) -> Option<&AtomicU64> {
        let offset = index.checked_mul(WORD).filter(|offset| offset.saturating_add(WORD) <= self.size())?;
        // SAFETY: `offset` lies inside the mapping, by the line above.
        let place = unsafe { self.start.add(offset) };
        // SAFETY: mapped for as long as `self` lives, aligned because pages and words are, and only used atomically.
        Some(unsafe { place.cast::<AtomicU64>().as_ref() })
    }

    fn atomic_byte(&self, offset: usize) -> Option<&AtomicU8> {
        if offset >= self.size() {
            return None;
        }
        // SAFETY: `offset` lies inside the mapping, by the lines above.
        let place = unsafe { self.start.add(offset) };
        // SAFETY: mapped for as long as `self` lives, and only used atomically.
        Some(unsafe { place.cast::<AtomicU8>().as_ref() })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `of`, and every reference into it borrowed from `self`.
        let unmapped = unsafe { munmap(self.start.cast(), self.len.get()) };
        debug_assert!(unmapped.is_ok(), "munmap of our own mapping: {unmapped:?}");
    }
}

/// Can nobody shrink the file under us?
#[cfg(target_os = "linux")]
fn is_fixed(fd: impl AsFd) -> bool {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};

    let seals = fcntl(fd, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_retain);
    seals.is_ok_and(|seals| seals.contains(SealFlag::F_SEAL_SHRINK))
}

#[cfg(not(target_os = "linux"))]
fn is_fixed(_fd: impl AsFd) -> bool {
    false
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn two_mappings_of_one_file_share_their_words_and_bytes() {
        let fd = create(c"test", 8192).unwrap();
        let (one, other) = (Mapping::of(&fd).unwrap(), Mapping::of(&fd).unwrap());
        drop(fd);
        one.set_word(3, u64::from_ne_bytes(*b"abcdefgh"));
        assert_eq!(other.word(3), one.word(3));
        assert_eq!(other.bytes(24, 4), b"abcd");
    }

    #[test]
    fn nothing_is_read_or_written_beyond_the_end() {
        let mapping = Mapping::of(create(c"test", 4096).unwrap()).unwrap();
        mapping.set_word(512, 1);
        mapping.set_word(usize::MAX, 1);
        assert_eq!((mapping.word(511), mapping.word(512), mapping.word(usize::MAX)), (0, 0, 0));
        assert_eq!(mapping.bytes(4090, 100).len(), 6);
        assert_eq!(mapping.bytes(usize::MAX, 100).len(), 0);
    }

    #[test]
    fn the_file_cannot_be_shrunk_and_a_file_that_can_be_is_not_mapped() {
        let fd = create(c"test", 4096).unwrap();
        assert!(nix::unistd::ftruncate(&fd, 0).is_err());
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        assert_eq!(Mapping::of(&file).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
