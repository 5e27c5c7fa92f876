// Processor time of a process, threads included, as the kernel counts it: to a hundredth of a second.
'use strict';

const fs = require('node:fs');

const TICK_MS = 10;

function cpuMilliseconds(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The name, in parentheses, may hold anything; what follows is numbers.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

module.exports = { cpuMilliseconds };
