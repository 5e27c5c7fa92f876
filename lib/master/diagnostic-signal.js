// Whether Node itself answers a signal, by a heap snapshot or a report.
//
// lib/master/master.js asks when SIGUSR2 comes, which is a reload otherwise. Owns nothing.
'use strict';

/** Whether a flag (or the application, for reports) has given the signal to Node. */
function isDiagnostic(signal) {
  const flags = [...process.execArgv, process.env.NODE_OPTIONS ?? ''].join(' ').replaceAll('_', '-');
  if (new RegExp(`--heapsnapshot-signal[= ]${signal}\\b`).test(flags)) return true;
  const { reportOnSignal, signal: reports } = process.report;
  return reportOnSignal && reports === signal;
}

module.exports = { isDiagnostic };
