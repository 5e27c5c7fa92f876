//! Sockets bound once by the master and lent to every worker.
