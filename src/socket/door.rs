//! Lets nothing new in before a socket is closed for good.
