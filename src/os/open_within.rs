//! Opens a file that really lies within a directory, wherever links and names point.
//!
//! First the kernel says where a path leads (links that stay within the directory are fine); then that place is walked to,
//! name by name from the directory's own descriptor, following no link. So a name that is exchanged between the two looks
//! can make an opening fail, but never makes it leave. Works without `openat2`, which old kernels and some sandboxes lack.
//! Invariant: what is returned is a regular file; a pipe or a device is never opened, since opening alone can do harm.

use std::ffi::OsStr;
use std::fs::{File, Metadata, canonicalize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

/// How a directory on the way is opened: to go through, where the system knows that, not to be read.
#[cfg(target_os = "linux")]
const WAY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
#[cfg(not(target_os = "linux"))]
const WAY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Should a pipe take the file's place after all, this neither waits for its other end nor makes it our terminal.
const LAST: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_NOCTTY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Opens `relative` below `dir` for reading; `dir` itself may be a link.
///
/// # Errors
/// `NotFound` for what leads outside or is no regular file; else what the kernel says.
pub fn open_inside(dir: &Path, relative: &Path) -> io::Result<(File, Metadata)> {
    let real_dir = canonicalize(dir)?;
    let real = canonicalize(dir.join(relative))?;
    let inside = real.strip_prefix(&real_dir).map_err(|_| nothing())?;
    let (on_the_way, name) = (inside.parent(), inside.file_name());
    let (Some(on_the_way), Some(name)) = (on_the_way, name) else { return Err(nothing()) };
    let mut at = open(&real_dir, WAY, Mode::empty())?;
    for step in on_the_way.components() {
        let Component::Normal(step) = step else { return Err(nothing()) };
        at = openat(&at, step, WAY, Mode::empty())?;
    }
    open_regular(&at, name)
}

fn open_regular(dir: &OwnedFd, name: &OsStr) -> io::Result<(File, Metadata)> {
    let found = fstatat(dir.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(nothing());
    }
    let file = File::from(openat(dir, name, LAST | OFlag::O_RDONLY, Mode::empty())?);
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(nothing()) }
}

fn nothing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, read_to_string, remove_file, rename, write};
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::*;

    fn text(dir: &Path, relative: &str) -> Option<String> {
        let (mut file, _) = open_inside(dir, Path::new(relative)).ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok().map(|_| text)
    }

    #[test]
    fn links_are_followed_as_long_as_they_stay_inside() {
        let all = tempfile::tempdir().unwrap();
        let dir = all.path().join("logs");
        create_dir(&dir).unwrap();
        create_dir(dir.join("sub")).unwrap();
        write(dir.join("sub/a"), "inside").unwrap();
        write(all.path().join("secret"), "outside").unwrap();
        symlink("sub/a", dir.join("relative")).unwrap();
        symlink(dir.join("sub/a"), dir.join("absolute")).unwrap();
        symlink("sub", dir.join("folder")).unwrap();
        symlink("../logs/sub/a", dir.join("around")).unwrap();
        symlink("../secret", dir.join("out")).unwrap();
        symlink(all.path(), dir.join("up")).unwrap();
        symlink("out", dir.join("chain")).unwrap();
        symlink("loop", dir.join("loop")).unwrap();
        symlink("gone", dir.join("dangling")).unwrap();
        for name in ["sub/a", "relative", "absolute", "folder/a", "around"] {
            assert_eq!(text(&dir, name).as_deref(), Some("inside"), "{name}");
        }
        let outside =
            ["out", "up/secret", "chain", "loop", "dangling", "../secret", "sub", "", ".", "sub/a/x"];
        for name in outside {
            assert_eq!(text(&dir, name), None, "{name}");
        }
        assert_eq!(text(&dir, all.path().join("secret").to_str().unwrap()), None);
        symlink(&dir, all.path().join("linked")).unwrap();
        assert_eq!(text(&all.path().join("linked"), "sub/a").as_deref(), Some("inside"));
        assert_eq!(read_to_string(all.path().join("secret")).unwrap(), "outside");
    }

    #[test]
    fn a_name_that_changes_its_meaning_meanwhile_never_leads_out() {
        let all = tempfile::tempdir().unwrap();
        let (dir, away) = (all.path().join("logs"), all.path().join("away"));
        create_dir(&dir).unwrap();
        for (folder, content) in [(dir.join("real"), "inside"), (away.clone(), "outside")] {
            create_dir(&folder).unwrap();
            write(folder.join("a"), content).unwrap();
        }
        let is_over = AtomicBool::new(false);
        let swap = || {
            let (now, next) = (dir.join("sub"), dir.join("next"));
            while !is_over.load(Ordering::Relaxed) {
                for target in [Path::new("real"), &away] {
                    symlink(target, &next).unwrap();
                    rename(&next, &now).unwrap();
                }
                remove_file(&now).unwrap();
                rename(dir.join("real"), &now).unwrap();
                rename(&now, dir.join("real")).unwrap();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(swap);
            let until = Instant::now() + Duration::from_secs(10);
            let mut seen = Vec::new();
            while seen.len() < 5000 && Instant::now() < until {
                seen.extend(text(&dir, "sub/a"));
            }
            // Before anything can fail, since the other thread is waited for.
            is_over.store(true, Ordering::Relaxed);
            assert!(!seen.is_empty() && seen.iter().all(|text| text == "inside"));
        });
    }

    #[test]
    fn what_is_no_regular_file_is_never_opened() {
        let dir = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&dir.path().join("pipe"), Mode::from_bits_truncate(0o600)).unwrap();
        let _listens = UnixListener::bind(dir.path().join("socket")).unwrap();
        symlink("/dev/zero", dir.path().join("device")).unwrap();
        for name in ["pipe", "socket", "device"] {
            let error = open_inside(dir.path(), Path::new(name)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{name}");
        }
    }
}
