//! The directory that takes the place of a pids directory which can't be written.
//!
//! It lies in the system's temporary directory and is named after the user and the pids directory that was wanted, so that
//! whoever looks for a master of that directory knows where else to look: `process::stop`, and the command line
//! (`lib/cli/masters.js`), which makes the same name by the same rule. Everybody may write in a temporary directory, so a
//! directory of that name counts only if it belongs to this user and nobody else can write in it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// Who may read and write the directory: its user.
const MODE: u32 = 0o700;
const OTHERS_MAY_WRITE: u32 = 0o022;

/// Makes the directory that takes the place of `pids`, or finds it.
///
/// # Errors
/// `PermissionDenied` if there is one that is not safe; else what the kernel says.
pub fn make(pids: &Path) -> io::Result<PathBuf> {
    let dir = path_for(pids);
    match DirBuilder::new().mode(MODE).create(&dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    check(&dir)?;
    Ok(dir)
}

/// The directory that takes the place of `pids`, if it is there and safe.
#[must_use]
pub fn find(pids: &Path) -> Option<PathBuf> {
    Some(path_for(pids)).filter(|dir| check(dir).is_ok())
}

fn path_for(pids: &Path) -> PathBuf {
    let temporary = std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty());
    let name = format!("cluster2-{}-{:016x}", geteuid(), hash(real(pids).as_os_str()));
    Path::new(&temporary.unwrap_or_else(|| "/tmp".into())).join(name)
}

/// The path without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let known = |known: &Path| Some(fs::canonicalize(known).ok()?.join(path.strip_prefix(known).ok()?));
    path.ancestors().find_map(known).unwrap_or_else(|| path.to_owned())
}

/// FNV-1a with 64 bits: a name has to be found again, not kept secret.
fn hash(text: &OsStr) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    text.as_bytes().iter().fold(BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

fn check(dir: &Path) -> io::Result<()> {
    let facts = fs::symlink_metadata(dir)?;
    if facts.is_dir() && facts.uid() == geteuid().as_raw() && facts.mode() & OTHERS_MAY_WRITE == 0 {
        return Ok(());
    }
    let problem = format!("{} is not a directory that this user alone can write in", dir.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_name_depends_on_the_directory_and_not_on_the_way_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let (place, link) = (dir.path().join("place"), dir.path().join("link"));
        fs::create_dir(&place).unwrap();
        symlink(&place, &link).unwrap();
        assert_eq!(path_for(&place.join("pids")), path_for(&link.join("pids")));
        assert_eq!(path_for(&place.join("pids")), path_for(&link.join("../place/pids/.")));
        assert_ne!(path_for(&place.join("pids")), path_for(&place.join("other")));
        // The published vector of FNV-1a for "foobar".
        assert_eq!(hash(OsStr::new("foobar")), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_directory_in_which_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path()).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(check(dir.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let link = dir.path().join("link");
        symlink("/", &link).unwrap();
        assert_eq!(check(&link).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
