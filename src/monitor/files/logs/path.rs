//! What file a request's path names. Pure; whether it may be served is found out when it is opened.

use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// The longest name that a file can have.
const NAME_MAX: usize = 255;
/// The bytes that a link holds in encoded form.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The file that is named by what follows `/logs/`; `None` for what no file can be called, or what climbs.
pub(crate) fn named(rest: &str) -> Option<PathBuf> {
    rest.split('/').map(name).collect()
}

fn name(segment: &str) -> Option<OsString> {
    let name: Vec<u8> = percent_decode_str(segment).collect();
    let is_one =
        !name.is_empty() && name.len() <= NAME_MAX && !name.iter().any(|byte| matches!(byte, b'/' | 0));
    let climbs = matches!(name.as_slice(), b"." | b"..");
    (is_one && !climbs).then(|| OsString::from_vec(name))
}

/// A relative path as it stands in a link.
pub(crate) struct Encoded<'a>(pub(crate) &'a Path);

impl Display for Encoded<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.components().enumerate() {
            f.write_str(if index == 0 { "" } else { "/" })?;
            if let Component::Normal(name) = part {
                percent_encode(name.as_bytes(), ENCODED).fmt(f)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_back_to_its_file() {
        for path in ["a.log", "sub/b c.log", "%2e%2e", "<&\"'>", "ünï/☃", "a?b#c", "back\\slash", " "] {
            let link = Encoded(Path::new(path)).to_string();
            assert!(link.is_ascii() && !link.contains([' ', '<', '"', '?', '#']), "{link}");
            assert_eq!(named(&link), Some(PathBuf::from(path)));
        }
        let raw = PathBuf::from(OsString::from_vec(vec![b'a', 0xff, b'b']));
        assert_eq!(named(&Encoded(&raw).to_string()), Some(raw));
    }

    #[test]
    fn what_climbs_or_is_no_name_names_nothing() {
        let long = "a".repeat(NAME_MAX + 1);
        let hostile = [
            "",
            ".",
            "..",
            "../a",
            "a/..",
            "a//b",
            "/a",
            "a/",
            "%2e",
            "%2E%2e",
            ".%2e/a",
            "a%2fb",
            "..%2fa",
            "%00",
            "a%00.log",
            long.as_str(),
        ];
        for path in hostile {
            assert_eq!(named(path), None, "{path}");
        }
    }
}
