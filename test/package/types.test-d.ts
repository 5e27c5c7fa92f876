// Programs that must type-check, and mistakes that must not; `npm test -- types` compiles this and runs none of it.

import Cluster, { Cluster as Named, Cluster2Error } from 'cluster2-rs';
import type { ClusterOptions, ComponentStatus, DelegateMessage } from 'cluster2-rs';
import Required = require('cluster2-rs');
import program = require('cluster2-rs/cluster');
import * as http from 'node:http';
import * as net from 'node:net';

const metrics: Cluster.MetricsOptions = { gc: true };
const options: ClusterOptions = {
  port: [3000, '/tmp/app.sock'],
  monPort: false,
  monitor: { control: true, token: 's3cret' },
  noWorkers: '2',
  ecv: { path: '/health', control: true, validator: (status, headers, body) => status < 300 && body !== '' },
  onUncaughtException: 'recycle',
  uid: 33,
  metrics,
};
// @ts-expect-error: no such option
new Cluster({ noWorker: 1 });
// @ts-expect-error: no such value
new Cluster({ restart: 'never' });
// @ts-expect-error: numbers only
new Cluster({ gid: ['www-data'] });

const c = new Cluster(options);
const same: Named = new Required();
const version: string = Cluster.version;
const port = Cluster.defaultOptions.port;
const { ecv, monitor: byDefault } = Cluster.defaultOptions;
export const given: boolean[] = [ecv.token, ecv.validator, byDefault.token, ecv.controlFrom === null];

const server = http.createServer((request, response) => response.end(request.url));
c.listen((callback) => callback(server), (apps, monApp) => console.log(apps.length, monApp))
  .on('forked', (pid) => pid.toFixed())
  .on('died', (pid, { code, signal, reason }) => console.log(pid, code ?? signal, reason.length))
  .on('died', (pid, { requests, row }) => [requests?.[0]?.path.length, row?.rss?.toFixed()])
  .on('heartbeat', (beat) => ('threads' in beat ? beat.threads + beat.pendingConnections : beat.gc.full + beat.cycle))
  .on('hung', (pid, { ms, stack }) => [pid + ms, stack])
  .on('warning', ({ message }) => message.trim())
  .on('warning', ({ code, failures, slot, delay, reason, pid, workers }) => [
    code?.trim(), failures?.toFixed(), slot?.toFixed(), delay?.toFixed(), reason?.trim(), pid?.toFixed(),
    workers?.toFixed(),
  ])
  .once('listening', (pid) => pid.toFixed())
  .prependOnceListener('SIGINT', (who) => who?.type)
  .off('draining', () => {})
  .once('error', (error) => error.code.startsWith('ERR_CLUSTER2_'))
  .on('SIGTERM', (who) => who?.pid)
  .on('component-status-initialized', (status) => status.getComponents().length)
  .on('read-config', (message: DelegateMessage) => c.emit('config-read', { domain: message.domain }));
c.listen((callback) => callback([{ app: server, port: [1, 2] }, { app: net.createServer(), port: '/tmp/x.sock' }]));
c.listen(async (callback) => callback((request, response) => response.end()));
c.cleanup(async () => server.close()).cleanup(() => 'at once');
// @ts-expect-error: what is to be done is a function
c.cleanup('flush');
c.listen(() => server);
c.listen(async () => (request: http.IncomingMessage, response: http.ServerResponse) => response.end(request.url));
Cluster.listen({ monitor: server }, (callback) => callback(server)).shutdown();
export const told: boolean | undefined = process.cluster?.workers[1]?.send({ some: 'message' });
export const threshold: number | string | null = Cluster.defaultOptions.requestThreshold;
export const monitor: Cluster.MonitorOptions = { token: 's3cret' };
// @ts-expect-error: an argument of a known event
c.on('forked', (pid: string) => pid);
// @ts-expect-error: an event without arguments
c.on('draining', (pid: number) => pid);
// @ts-expect-error: a figure of the master's heartbeats only
c.on('heartbeat', (beat) => beat.threads);
// @ts-expect-error: a listener that could never have been added
c.off('forked', (pid: string) => pid);
// @ts-expect-error: nothing that could be served
c.listen((callback) => callback(42));
new Cluster({ exec: 'app.js', args: ['x'], nodeArgs: '--import tsx', env: { PORT: 80, OLD: null } }).listen();
c.cancelReload().then(() => c.reload({ restart: true }));
// @ts-expect-error: createApp is a function
c.listen('app.js');

async function delegating() {
  c.handle('double', async ({ n }: { n: number }) => ({ n: n * 2 })).handle('log', (line: string) => console.log(line));
  const { n } = await c.delegate<{ n: number }>('double', { n: 2 }, { timeout: 100, matches: ['n'], targets: [1] });
  const half: number = n / 2;
  // @ts-expect-error: a type is a name
  await c.delegate(1);
  // @ts-expect-error: no such option
  await c.delegate('double', {}, { timeOut: 1 });
  // @ts-expect-error: a handler is a function
  c.handle('double', 'text');
  const question: DelegateMessage = { type: 'delegate', delegate: 'x', expect: 'y', timeOut: 10, domain: 'mine' };
  return [half, question];
}

async function components() {
  const status: ComponentStatus = await c.componentStatus();
  const { register, reducer, getStatus, setStatus } = status;
  reducer('longest', (memo, element) => ({ value: Math.max(memo?.value ?? 0, element.length) }));
  register('load', () => 1, 'sum').register('level', () => 1, 'array', (params, value) => value);
  register('loaded', undefined, 'avg', undefined, { path: './load.js', args: [1] });
  const load: number | null = await getStatus<number>('load', { worker: 'm1', done: (value, error) => [value, error] });
  await setStatus('level', { params: 1 }, 2);
  // @ts-expect-error: a reducer gives an object with a value
  reducer('longest', () => 1);
  return load;
}

async function ending() {
  await c.reload({ strategy: 'all-first', env: { RELEASE: 2, OLD: null } });
  const { wanted } = await c.scale(4);
  // @ts-expect-error: no such strategy
  await c.reload({ strategy: 'none', wanted });
  await c.reload().catch(({ reason, exitCode, signal }: Cluster2Error) => [reason?.trim(), exitCode === 1, signal]);
  const ended = await c.shutdown();
  for (const pid of ended?.masters ?? []) process.kill(pid, 0);
  await new Cluster({ stop: true }).stop();
  const [{ kind, port }] = c.addresses().app;
  // @ts-expect-error: no such kind
  return kind === 'tcp' ? undefined : port;
}

const emitter: Cluster | undefined = process.cluster?.emitter;
process.cluster?.workers[1]?.send({ command: 'wave' });
const late: Cluster | undefined = process.emitter;
process.heartbeat?.unref();
if (new Error() instanceof Cluster2Error) throw new Cluster2Error('ERR_MINE', 'text', { cause: 1 });

program.setupPrimary({ exec: 'worker.js', silent: true, monitor: { port: 3001, token: 'secret' } });
program.schedulingPolicy = program.SCHED_RR;
const forked: number | undefined = program.fork({ NAME: 'value' }).process.pid;
// @ts-expect-error: it is a number
program.setupPrimary({ monitor: { port: '3001' } });
const monitored: program.MonitorSettings = { host: '::1' };

export { forked, monitored, delegating, components, ending, same, version, port, emitter, late };
