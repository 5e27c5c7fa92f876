// What kind of server a server is, told by what it can do.
//
// Node does not export the classes of its HTTP/2 servers, and to load those of the others would cost each worker
// several milliseconds of its start.
'use strict';

/** 'http2', 'http' or 'tcp', with TLS or without. */
function kindOf(server) {
  if (typeof server?.updateSettings === 'function') return 'http2';
  return typeof server?.closeIdleConnections === 'function' ? 'http' : 'tcp';
}

/** Whether its connections are encrypted. */
function isSecure(server) {
  return typeof server?.setSecureContext === 'function';
}

module.exports = { kindOf, isSecure };
