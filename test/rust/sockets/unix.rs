//! Unix sockets: the file, its mode, and what is removed when.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;

fn unix(path: &Path) -> Want {
    want(Kind::Unix { path: path.to_owned() })
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_path_is_shared_by_all_and_unlinked_at_the_end() {
    let _guard = among_others();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let mut sockets = slots();
    let lent = sockets.lend(&unix(&path), SLOTS[0]).unwrap();
    let other = sockets.lend(&unix(&path), SLOTS[1]).unwrap();
    assert_clean(&other.fd);
    assert_eq!(other.listener, lent.listener);
    let expected = Bound { listener: lent.listener, kind: "unix", address: None, path: Some(path.clone()) };
    assert_eq!(sockets.addresses(), [expected]);
    let _client = UnixStream::connect(&path).unwrap();
    assert!(!sockets.is_queue_empty());
    assert_clean(sockets.accept(lent.listener, SLOTS[1]).unwrap().unwrap());
    sockets.close(lent.listener);
    assert!(!path.exists());
    // Dropping everything is enough too.
    let mut sockets = slots();
    sockets.reserve(&unix(&path)).unwrap();
    assert!(path.exists());
    drop(sockets);
    assert!(!path.exists());
}

#[test]
fn a_path_that_has_been_replaced_is_left_alone() {
    let _guard = among_others();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let mut old = slots();
    old.reserve(&unix(&path)).unwrap();
    std::fs::rename(&path, folder.path().join("moved.sock")).unwrap();
    let mut new = slots();
    new.reserve(&unix(&path)).unwrap();
    old.close_all();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_path_that_workers_remove_is_there_again_for_the_next() {
    let _guard = among_others();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let mut sockets = slots();
    for slot in [SLOTS[0], SLOTS[1], SLOTS[0]] {
        let _ = std::fs::remove_file(&path);
        sockets.lend(&unix(&path), slot).unwrap();
        UnixStream::connect(&path).unwrap();
    }
    std::fs::remove_file(&path).unwrap();
    sockets.restore_files();
    let begin = Instant::now();
    while UnixStream::connect(&path).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "the path is not there");
        std::thread::sleep(Duration::from_millis(1));
    }
    sockets.close_all();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_mode_follows_readable_all_and_writable_all() {
    let _guard = among_others();
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.sock");
    let open = folder.path().join("open.sock");
    let mut sockets = slots();
    sockets.lend(&unix(&plain), SLOTS[0]).unwrap();
    sockets.reserve(&unix(&open)).unwrap();
    assert_eq!(mode(&open), mode(&plain));
    let everybody = Want { readable_all: true, writable_all: true, ..unix(&open) };
    sockets.lend(&everybody, SLOTS[0]).unwrap();
    assert_eq!(mode(&open) & 0o666, 0o666);
    let writable = folder.path().join("writable.sock");
    sockets.lend(&Want { writable_all: true, ..unix(&writable) }, SLOTS[0]).unwrap();
    assert_eq!(mode(&writable), mode(&plain) | 0o222);
}

#[test]
fn a_stale_file_is_removed_and_nothing_else() {
    let _guard = among_others();
    let folder = tempfile::tempdir().unwrap();
    let stale = ["reserved.sock", "lent.sock"].map(|name| folder.path().join(name));
    for path in &stale {
        drop(UnixListener::bind(path).unwrap());
    }
    let mut sockets = slots();
    sockets.reserve(&unix(&stale[0])).unwrap();
    sockets.lend(&unix(&stale[1]), SLOTS[0]).unwrap();
    for path in &stale {
        UnixStream::connect(path).unwrap();
    }

    let busy = folder.path().join("busy.sock");
    let holder = UnixListener::bind(&busy).unwrap();
    let inode = busy.symlink_metadata().unwrap().ino();
    assert_eq!(code(sockets.reserve(&unix(&busy))), libc::EADDRINUSE);
    assert_eq!(code(sockets.lend(&unix(&busy), SLOTS[0])), libc::EADDRINUSE);
    assert_eq!(busy.symlink_metadata().unwrap().ino(), inode);
    drop(holder);

    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&busy, &link).unwrap();
    for path in [file, link] {
        assert_eq!(code(sockets.reserve(&unix(&path))), libc::EADDRINUSE);
        assert!(path.symlink_metadata().is_ok());
    }
}

#[test]
fn a_full_queue_is_not_mistaken_for_a_stale_file() {
    let _guard = among_others();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.sock");
    let holder = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    holder.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    holder.listen(0).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    assert_eq!(code(slots().reserve(&unix(&path))), libc::EADDRINUSE);
    assert!(path.exists());
}

#[test]
fn errors_are_those_that_node_gives() {
    let _guard = among_others();
    let folder = tempfile::tempdir().unwrap();
    let mut sockets = slots();
    let missing = folder.path().join("missing/app.sock");
    assert_eq!(code(sockets.lend(&unix(&missing), SLOTS[0])), libc::EACCES);
    for path in [folder.path().join("x".repeat(200)), PathBuf::new()] {
        assert_eq!(code(sockets.reserve(&unix(&path))), libc::EINVAL);
    }
}

#[test]
fn a_refusal_takes_the_path_away_and_keeps_the_queue() {
    let _guard = among_others();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let mut sockets = slots();
    let lent = sockets.lend(&unix(&path), SLOTS[0]).unwrap();
    let _early = UnixStream::connect(&path).unwrap();
    sockets.refuse_new(Instant::now()).unwrap();
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(sockets.accept(lent.listener, SLOTS[0]).unwrap().is_some());
}

#[test]
fn an_abstract_name_has_no_file() {
    let _guard = among_others();
    let name = PathBuf::from(format!("\0cluster2-rs test {}", std::process::id()));
    let mut sockets = slots();
    let lent = sockets.lend(&unix(&name), SLOTS[0]).unwrap();
    assert_eq!(only_address(&sockets).path, Some(name.clone()));
    let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    client.connect(&socket2::SockAddr::unix(&name).unwrap()).unwrap();
    assert!(sockets.accept(lent.listener, SLOTS[0]).unwrap().is_some());
    assert_eq!(code(slots().reserve(&unix(&name))), libc::EADDRINUSE);
}

#[test]
fn a_path_is_the_same_however_it_is_written() {
    let _guard = among_others();
    let here = std::env::current_dir().unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("app.sock");
    let relative = path.strip_prefix(&here).unwrap();
    let mut sockets = slots();
    let id = sockets.reserve(&unix(relative)).unwrap();
    assert_eq!(sockets.lend(&unix(&path), SLOTS[0]).unwrap().listener, id);
    assert_eq!(only_address(&sockets).path, Some(path.clone()));
}

#[test]
fn an_abstract_name_may_come_with_a_folder_before_it() {
    let _guard = among_others();
    let name = format!("\0cluster2-rs folder {}", std::process::id());
    let mut sockets = slots();
    let id = sockets.reserve(&unix(Path::new(&name))).unwrap();
    let as_a_worker_asks = std::env::current_dir().unwrap().join(&name);
    assert_eq!(sockets.lend(&unix(&as_a_worker_asks), SLOTS[0]).unwrap().listener, id);
    assert_eq!(only_address(&sockets).path, Some(name.into()));
}
