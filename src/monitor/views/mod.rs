//! How it is shown: the page, its stream, JSON and metrics.

pub(crate) mod calendar;
pub(crate) mod html;
pub mod metrics;
pub(crate) mod page;
pub(crate) mod renderer;
pub(crate) mod status;
pub(crate) mod stream;
pub(crate) mod subpage;
pub(crate) mod timeline;
pub(crate) mod view_model;
