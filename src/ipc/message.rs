//! The whole protocol on one page.
