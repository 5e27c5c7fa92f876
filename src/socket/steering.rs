//! Which slot the kernel gives the next connection to.
