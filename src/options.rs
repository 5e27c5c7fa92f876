//! What JavaScript passed to `new Cluster` becomes one immutable `Options`, or an error that names the option.
