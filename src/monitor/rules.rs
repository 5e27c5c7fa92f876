//! What the options say about the monitor: where the answers are found, who may have them, and what counts as healthy.

use std::path::PathBuf;

use crate::monitor::data::health;
use crate::options::{Ecv, Monitor};

/// The rules of one monitor; they never change.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `monPath`: where the page is, without a slash at its end.
    pub mon_path: String,
    /// `monitor`: who may read, and whether one may change something.
    pub monitor: Monitor,
    /// `ecv`; `None` is off.
    pub ecv: Option<Ecv>,
    /// `liveMaxAge` and `readyQuorum`.
    pub limits: health::Limits,
    /// `logs`.
    pub logs: PathBuf,
    /// `log`: the file to which workers write by themselves.
    pub log: Option<PathBuf>,
    /// Where the application is; `None` is this process's working directory.
    pub dir: Option<PathBuf>,
    /// The application has a monitor app of its own.
    pub has_app: bool,
}
