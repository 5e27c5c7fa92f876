/// <reference types="node" />

import { EventEmitter } from 'node:events';
import { RequestListener } from 'node:http';
import { SendHandle } from 'node:child_process';
import { Server } from 'node:net';

/**
 * Runs a server in several processes.
 *
 * The same script runs in the master and again in each worker, so its code must suit both.
 *
 * @example
 * const c = new Cluster({ port: 3000 });
 * c.on('died', (pid, { reason }) => console.log(pid, reason));
 * c.listen((callback) => callback(server));
 */
declare class Cluster extends EventEmitter {
  /** The version of this package. */
  static readonly version: string;

  /** What options are when they are not given, on this machine and in this directory. */
  static readonly defaultOptions: DefaultOptions;

  /** What was given, over the defaults. Changing it changes nothing: options are parsed when the cluster is made. */
  options: ClusterOptions & Record<string, unknown>;

  /**
   * Checks the options; opens nothing.
   * @throws {Cluster2Error} `ERR_CLUSTER2_INVALID_OPTION`, `ERR_CLUSTER2_OTHER_VERSION`
   */
  constructor(options?: ClusterOptions);

  /** As `new Cluster(options).listen(createApp, callback)`, for scripts of cluster2 0.2. */
  static listen(options: ClusterOptions | undefined, createApp: CreateApp, callback?: ListenCallback): Cluster;

  /**
   * Runs `createApp` and serves what it hands over to its callback: in the master by workers, in a worker by itself.
   * @param createApp runs once in the master, where the app must not listen, and once in each worker; may be async, and
   * may return the app instead of calling back
   * @param callback once in the master, when the first workers are forked, and in each worker once per port
   *
   * What fails later is not thrown here. A port that can't be had is the event `error`. The rest is an uncaught exception:
   * what `createApp` or `callback` throws, `ERR_CLUSTER2_NO_APP`, `ERR_CLUSTER2_INVALID_APP`,
   * `ERR_CLUSTER2_INVALID_MON_APP`, `ERR_CLUSTER2_APP_LISTENING`, `ERR_CLUSTER2_NO_SCRIPT`,
   * `ERR_CLUSTER2_SERIALIZATION`, `ERR_CLUSTER2_INVALID_OPTION` (the ports of a list of apps), `ERR_CLUSTER2_LOG` and
   * `ERR_CLUSTER2_THREAD`; with the options `stop` and `shutdown`, what the methods of these names reject with.
   * @throws {Cluster2Error} `ERR_CLUSTER2_CREATE_APP`, `ERR_CLUSTER2_ALREADY_LISTENING`
   */
  listen(createApp: CreateApp, callback?: ListenCallback): this;

  /**
   * With the option `exec`: runs that script in workers; `callback` comes once, when the first ones are forked. For a
   * script that can't be run an uncaught exception comes later, `ERR_CLUSTER2_EXEC`.
   * @throws {Cluster2Error} `ERR_CLUSTER2_CREATE_APP_UNUSED`, `ERR_CLUSTER2_ALREADY_LISTENING`
   */
  listen(createApp?: undefined, callback?: ListenCallback): this;

  /**
   * Kills the cluster at once: this one, when called in its master, else every live one of the `pids` directory. In a
   * worker it does nothing. Resolves when the masters are gone; the master itself does not live to see that.
   * @throws {Cluster2Error} rejects with `ERR_CLUSTER2_CONTROL` when a master does not answer, and with
   * `ERR_CLUSTER2_PIDS` when the directory can't be read
   */
  stop(): Promise<Ended | undefined>;

  /**
   * Stops taking new connections, finishes the requests under way and ends the cluster. Chooses the cluster as `stop`
   * does. From another process it resolves when no new connection gets in any more.
   * @throws {Cluster2Error} rejects as `stop` does
   */
  shutdown(): Promise<Ended | undefined>;

  /**
   * In the master: replaces all workers, successors first, and gives `env` and the script as it is now to those that come.
   * When a successor fails, the old workers stay.
   * @throws {Cluster2Error} rejects with `ERR_CLUSTER2_RELOAD_FAILED` (with `reason`, `pid`, `exitCode` and `signal`),
   * `ERR_CLUSTER2_RELOAD_CANCELLED`, `ERR_CLUSTER2_INVALID_OPTION`, `ERR_CLUSTER2_NOT_RUNNING`
   */
  reload(options?: ReloadOptions): Promise<ReloadResult>;

  /**
   * In the master: calls off the reload that is under way; its promise rejects with `ERR_CLUSTER2_RELOAD_CANCELLED`. Workers
   * that were replaced by then stay, the other old ones serve on.
   * @throws {Cluster2Error} rejects with `ERR_CLUSTER2_NO_RELOAD`, `ERR_CLUSTER2_NOT_RUNNING`
   */
  cancelReload(): Promise<void>;

  /**
   * In the master: sets how many workers there should be.
   * @throws {Cluster2Error} rejects with `ERR_CLUSTER2_INVALID_OPTION`, `ERR_CLUSTER2_NOT_RUNNING`
   */
  scale(workers: number): Promise<{ wanted: number; [fact: string]: unknown }>;

  /**
   * Takes the cluster out of rotation, in the master and in workers. From when it resolves every answer on the ECV path says
   * DISABLED, whichever worker gives it; the application goes on serving. Of several reasons the first is kept, until it is
   * enabled again.
   * @throws {Cluster2Error} rejects with `ERR_CLUSTER2_NOT_RUNNING` before `listen`, and when the master is gone
   */
  disable(reason?: string): Promise<void>;

  /**
   * Puts the cluster back into rotation, as `disable` took it out.
   * @throws {Cluster2Error} rejects with `ERR_CLUSTER2_NOT_RUNNING`
   */
  enable(): Promise<void>;

  /**
   * In the master: adds to `/metrics` what `text` gives, in Prometheus' format. It is asked once a second and never by a
   * scrape, which shows what it said last. Names that begin with `cluster2_` are left out. In a worker it does nothing.
   */
  metrics(text: () => string | PromiseLike<string>): this;

  /**
   * Runs `task` at the end of this process, in the master and in each worker, after the last answer is out, in every
   * shutdown, reload and recycle. What it returns is awaited; several run in the order in which they were given. The
   * process then ends when its event loop is empty: a worker at the deadline of its drain at the latest, the master after
   * 2 s. One that throws or rejects is a `warning`.
   * @throws {Cluster2Error} `ERR_CLUSTER2_INVALID_ARGUMENT` if it is not a function
   */
  cleanup(task: () => unknown): this;

  /**
   * In the master: what was really bound; port 0 is a number here. It is empty until the callback of `listen` comes. With
   * the option `exec` the application's part is filled when a worker listens. With `cluster: false` only the monitor's part
   * is filled. In a worker it is always empty.
   */
  addresses(): Addresses;

  /**
   * Asks the master. The payload is given to what `handle` set for `type` there, or to listeners of the event `type`,
   * which answer by `c.emit(message.expect, answer)`.
   *
   * Rejects with `ERR_CLUSTER2_DELEGATE_TIMEOUT`, with `ERR_CLUSTER2_DELEGATE_FAILED` when the handler threw or rejected
   * (`error.cause` tells what), with `ERR_CLUSTER2_INVALID_ARGUMENT` for a payload that is no JSON, or with
   * `ERR_CLUSTER2_NOT_RUNNING` when the master is gone. In the master it asks itself.
   */
  delegate<Answer = unknown>(type: string, payload?: unknown, options?: DelegateOptions): Promise<Answer>;

  /**
   * In the master: answers what is delegated as `type`, by messages as well. The last one set for a type counts. In a worker it
   * does nothing, so that a script may call it everywhere.
   */
  handle<Payload = any, Answer = unknown>(
    type: string,
    answer: (payload: Payload, message: DelegateMessage) => Answer | PromiseLike<Answer>,
  ): this;

  /** Resolves when `component-status-initialized` is emitted: in the master before it forks, in a worker when it listens. */
  componentStatus(): Promise<ComponentStatus>;

  on<Name extends keyof ClusterEvents>(event: Name, listener: (...args: ClusterEvents[Name]) => void): this;
  on<Name extends string | symbol>(event: Other<Name>, listener: (...args: any[]) => void): this;
  once<Name extends keyof ClusterEvents>(event: Name, listener: (...args: ClusterEvents[Name]) => void): this;
  once<Name extends string | symbol>(event: Other<Name>, listener: (...args: any[]) => void): this;
  addListener<Name extends keyof ClusterEvents>(event: Name, listener: (...args: ClusterEvents[Name]) => void): this;
  addListener<Name extends string | symbol>(event: Other<Name>, listener: (...args: any[]) => void): this;
  prependListener<Name extends keyof ClusterEvents>(event: Name, listener: (...args: ClusterEvents[Name]) => void): this;
  prependListener<Name extends string | symbol>(event: Other<Name>, listener: (...args: any[]) => void): this;
  prependOnceListener<Name extends keyof ClusterEvents>(
    event: Name,
    listener: (...args: ClusterEvents[Name]) => void,
  ): this;
  prependOnceListener<Name extends string | symbol>(event: Other<Name>, listener: (...args: any[]) => void): this;
  off<Name extends keyof ClusterEvents>(event: Name, listener: (...args: ClusterEvents[Name]) => void): this;
  off<Name extends string | symbol>(event: Other<Name>, listener: (...args: any[]) => void): this;
  removeListener<Name extends keyof ClusterEvents>(event: Name, listener: (...args: ClusterEvents[Name]) => void): this;
  removeListener<Name extends string | symbol>(event: Other<Name>, listener: (...args: any[]) => void): this;

  /** As of any EventEmitter. In the master an event may be the answer to what was delegated. */
  emit(event: string | symbol, ...args: any[]): boolean;
}

/** Names of events that are not this package's, such as those that are delegated. */
type Other<Name> = Name extends keyof ClusterEvents ? never : Name;

/** Events and their arguments. */
interface ClusterEvents {
  /** Master: a worker was forked; its pid file is there. */
  forked: [pid: number];
  /** Master: an app of a worker listens on all its ports. */
  listening: [pid: number];
  /** Master: a worker has booted and stands by until another one dies (option `spares`). */
  spare: [pid: number];
  /** Master: a worker's process is gone. */
  died: [pid: number, how: Death];
  /** Master: a worker's event loop has not turned for `ms`; it is replaced. */
  hung: [pid: number, how: { ms: number; stack?: string }];
  /**
   * Master: something of the monitor's timeline that has no event of its own: `reload`, `reloaded`, `reload cancelled`,
   * `recycling`, `scaled`.
   */
  note: [note: { event: string; pid: number | null; text: string }];
  /** Master and workers: something an operator should know. Without a listener the master prints each kind once. */
  warning: [warning: Warning];
  /**
   * Master: a port can't be had. Without a listener that is one line on stderr; the exit status is 255, unless
   * `process.exitCode` is set.
   */
  error: [error: Cluster2Error];
  /** Master: a graceful shutdown begins. Worker: it was told to go, or got the signal. */
  SIGTERM: [who?: { pid: number; type: 'master' | 'worker' }];
  /**
   * Master: a graceful shutdown begins; `who` is there with `cluster: false` only. Worker: the master got it, or it is
   * recycled, or it got the signal itself.
   */
  SIGINT: [who?: { pid: number; type: 'master' | 'worker' }];
  /** The process with `stop: true`, before it acts. */
  SIGKILL: [];
  /**
   * Worker, and the process with `cluster: false`: it takes no new connection any more; a good moment to close
   * WebSockets. Clean up in `cleanup`.
   */
  draining: [];
  /**
   * Master and workers, every `heartbeatInterval`; which of the two it is, `'threads' in beat` tells. None with
   * `cluster: false`, as in cluster2.
   */
  heartbeat: [beat: WorkerHeartbeat | MasterHeartbeat];
  /** Master and workers. */
  'component-status-initialized': [status: ComponentStatus];
}

/** Something an operator should know: a sentence, and the facts behind it where there are some. */
interface Warning {
  message: string;
  /** From the list in docs/errors.md, where it is an error that the cluster can live with. */
  code?: string;
  /** The process that it is about. */
  pid?: number | null;
  /** A worker keeps dying: in which slot (null: a spare), */
  slot?: number | null;
  /** how often in a row, */
  failures?: number;
  /** how long the next start waits, in milliseconds, */
  delay?: number;
  /** and why the last one died. After a reload that failed: why the new worker did. */
  reason?: string | null;
  /** After a reload that failed: how the new worker ended. */
  exitCode?: number | null;
  signal?: string | null;
  /** A successor failed: the number of the worker that stays, and its own (as `cluster.worker.id`). */
  worker?: number;
  successor?: number;
  /** No worker is left: 0. */
  workers?: number;
  /** Descriptors are short: how many the process may have. */
  limit?: number;
  [fact: string]: unknown;
}

/** How a worker ended. */
interface Death {
  /** Its exit status, or null when a signal ended it. */
  code: number | null;
  /** The signal that ended it, or null. */
  signal: NodeJS.Signals | string | null;
  /** A sentence. */
  reason: string;
  /** What it was asked for and had not answered, oldest first; empty without the option `flightRecorder`. */
  requests: { method: string; path: string; ms: number }[];
  /** Its last row of the scoreboard, by the names in docs/scoreboard.md, or null where it wrote none. */
  row: Record<string, number> | null;
}

/** What a worker says of itself; `transactions`, `durations`, `gc`, `error` and `cycle` start anew after each. */
interface WorkerHeartbeat {
  pid: number;
  /** Seconds. */
  uptime: number;
  /** Percent of one processor, since the start. */
  cpu: number;
  /** Resident bytes. */
  memory: number;
  aliveConnections: number;
  totalConnections: number;
  timedoutConnections: number;
  /** What `c.emit('rootTransaction', { duration })` has counted. */
  transactions: number;
  /** Milliseconds. */
  durations: number;
  totalTransactions: number;
  totalDurations: number;
  /** Counted where the option `metrics: {gc: true}` asks for it, else 0. */
  gc: { incremental: number; full: number; pauseMS: number };
  /** What `c.emit('errorTransaction')` has counted. */
  error: { count: number };
  /** Milliseconds since the one before. */
  cycle: number;
}

/**
 * What the master says of all workers. `totalTransactions`, `totalDuration`, `errors` and the figures of garbage
 * collections are sums since the heartbeat before, the counts of connections since the start.
 */
interface MasterHeartbeat {
  /** The master's. */
  pid: number;
  /** Percent of one processor that a worker used for code of its own since its start; the average. */
  usertime: number;
  /** The same, in the kernel. */
  systime: number;
  /** Seconds; the average of the workers. */
  uptime: number;
  /** Bytes of memory that the machine has. */
  totalmem: number;
  /** Bytes of it that are free. */
  freemem: number;
  totalConnections: number;
  /** Those that are open now. */
  pendingConnections: number;
  timedoutConnections: number;
  /** This and the next two: counted where the option `metrics: {gc: true}` asks for it, else 0. */
  fullGCs: number;
  incrementalGCs: number;
  /** Milliseconds. */
  pauseMS: number;
  /** What `c.emit('rootTransaction', { duration })` has counted in workers. */
  totalTransactions: number;
  /** Milliseconds; the sum of their durations. */
  totalDuration: number;
  /** What `c.emit('errorTransaction')` has counted in workers. */
  errors: number;
  /** Milliseconds since the one before. */
  interval: number;
  /** How many workers are in it. */
  threads: number;
}

/** What can be served: a server, a request listener (express), a Koa or Fastify app, or anything with `listen`. */
type App =
  | Server
  | RequestListener
  | { callback(): RequestListener }
  | { listen(...args: any[]): unknown };

/** An app with the ports, or unix paths, that are its own. */
interface PortedApp {
  app: App;
  port?: number | string | ReadonlyArray<number | string>;
}

/**
 * Hands over the app, or several with their ports, and perhaps an app of one's own for the monitor's port: it is asked
 * first there, in the master only, and where it answers 404 ours answer. It must speak HTTP and must not listen.
 *
 * What it returns, or its promise gives, is the app where it does not call back.
 */
type CreateApp = (callback: (app: App | ReadonlyArray<PortedApp>, monApp?: App) => void) => unknown;

/** What is called when it has begun; with `cluster: false`, `apps` is the one app itself. */
type ListenCallback = (apps: any, monApp?: any) => void;

/** What a stop or a shutdown from another process has ended. */
interface Ended {
  /** Pids. */
  masters: number[];
}

/** What was really bound. */
interface Addresses {
  app: {
    /** `'udp4'` and `'udp6'` with the option `exec` only. */
    kind: 'tcp4' | 'tcp6' | 'udp4' | 'udp6' | 'unix';
    address?: string | null;
    port?: number | null;
    path?: string | null;
  }[];
  monitor: { address: string; port: number } | null;
}

/** How something is delegated. */
interface DelegateOptions {
  /**
   * How long to wait for the answer, in milliseconds.
   * @default 10000
   */
  timeout?: number;
  /** Names of fields of the payload that must be equal, deeply, in what listeners emit as the answer. */
  matches?: ReadonlyArray<string>;
  /** Pids of workers that are told the answer too, by the message `{...answer, type: expect}`. */
  targets?: ReadonlyArray<number>;
  /**
   * Name of the event that answers, for listeners in the master that emit a fixed one.
   * @default a name that no other question has, which listeners find in `message.expect`
   */
  expect?: string;
  /**
   * Whether later answers are sent on as well, by messages to the worker that asks and to those in `targets`, until
   * these workers end. They come under the name `expect`.
   */
  notification?: boolean;
}

/** What a worker sends to delegate, by `process.send`, and what listeners in the master get. */
interface DelegateMessage {
  type: 'delegate';
  /** Name of the event in the master. */
  delegate: string;
  /** Name of the event that is the answer, and `type` of the message that brings it; without it nothing comes back. */
  expect?: string;
  /** Names of fields that must be equal in question and answer. */
  matches?: string[];
  /** Milliseconds. */
  timeout?: number;
  /** The same, as cluster2 0.4 called it; it comes first. */
  timeOut?: number;
  /** Pids of the workers that get the answer; without it, all do. */
  targets?: number[];
  /**
   * Whether later answers are sent on, too: until the workers in `targets` end or, to all workers, as long as the
   * master runs.
   */
  notification?: boolean;
  [field: string]: any;
}

/** What the processes of the cluster say of themselves; each method can be taken off the object. */
interface ComponentStatus {
  /**
   * Says what this process knows of a component, from now on.
   * @param handler gives this process's value; undefined is none
   * @param reducer makes one value of those of all processes: a name, or a function for this component
   * @param updater changes it in this process, and gives what it became
   * @param loader a module that gives the handler (or handler and updater) where none was given
   */
  register(
    name: string,
    handler: ((params?: any) => unknown) | null | undefined,
    reducer?: ReducerName | Reduce,
    updater?: ((params: any, value: any) => unknown) | null,
    loader?: { path: string; args?: unknown },
  ): this;
  /** Sets a reducer that components can name. */
  reducer(name: string, reduce: Reduce): this;
  /** Names of all components that were ever registered, in any process. */
  getComponents(): string[];
  /** One value of what all processes say, within 3 s; rejects with `ERR_CLUSTER2_UNKNOWN_COMPONENT`. */
  getStatus<Value = any>(name: string, options?: StatusOptions<Value>): Promise<Value | null>;
  /** Changes the component in all processes; one value of what they gave. */
  setStatus<Value = any>(name: string, options: StatusOptions<Value> | undefined, value: unknown): Promise<Value | null>;
}

/** Reducers that are there; others can be set, and a name that is unknown means the sum. */
type ReducerName = 'sum' | 'concat' | 'avg' | 'array' | 'first' | (string & {});

/** Takes what it gave before, null at first, and one more value. */
type Reduce = (memo: any, element: any) => { value: unknown };

/** Whom to ask, and for what. */
interface StatusOptions<Value = any> {
  /** What handlers and updaters get; of an object with `params`, these. */
  params?: unknown;
  /** One process: a worker's pid, or 'm' and the master's. */
  worker?: number | string;
  /** Is called with what the promise gives. */
  done?: (value: Value | null, error?: Cluster2Error) => void;
}

/** Thrown for everything that this package reports as failed; compare `code`, never the text. */
declare class Cluster2Error extends Error {
  constructor(code: string, message: string, options?: { cause?: unknown });
  readonly name: 'Cluster2Error';
  /** From the list in docs/errors.md. */
  code: string;
  cause?: unknown;
  /** `ERR_CLUSTER2_RELOAD_FAILED`: why the new worker failed, in a sentence. */
  reason?: string;
  /** `ERR_CLUSTER2_RELOAD_FAILED`: its process; null if it could not be started. */
  pid?: number | null;
  /** `ERR_CLUSTER2_RELOAD_FAILED`: its exit status, or null. */
  exitCode?: number | null;
  /** `ERR_CLUSTER2_RELOAD_FAILED`: the signal that ended it, or null. */
  signal?: string | null;
}

/** A worker's process in the master: as much of Node's `ChildProcess` as old scripts use, with its events. */
interface WorkerProcess extends EventEmitter {
  readonly pid: number;
  readonly connected: boolean;
  readonly killed: boolean;
  readonly exitCode: number | null;
  readonly signalCode: NodeJS.Signals | null;
  send(message: unknown, callback?: (error: Error | null) => void): boolean;
  send(
    message: unknown,
    handle: SendHandle | undefined,
    options?: { keepOpen?: boolean },
    callback?: (error: Error | null) => void,
  ): boolean;
  kill(signal?: NodeJS.Signals | number): boolean;
  disconnect(): void;
}

declare global {
  namespace NodeJS {
    interface Process {
      /** In the master, once it has started. */
      cluster?: {
        clustered: true;
        emitter: Cluster;
        /** By pid. */
        workers: Record<number, WorkerProcess>;
      };
      /** In a worker that serves: the timer of its heartbeats. */
      heartbeat?: NodeJS.Timeout;
      /** In a worker that goes. */
      emitter?: Cluster;
    }
  }
}

declare namespace Cluster {
  export {
    Addresses, App, Cluster, Cluster2Error, ClusterEvents, ClusterOptions, ComponentStatus, CreateApp, Death,
    DefaultOptions, DelegateMessage, DelegateOptions, EcvOptions, Ended, ListenCallback, MasterHeartbeat,
    MetricsOptions, MonitorOptions, PortedApp, Reduce, ReducerName, ReloadOptions, ReloadResult, StatusOptions, Warning,
    WorkerHeartbeat, WorkerProcess,
    Cluster as default,
  };
}

export = Cluster;

/**
 * What `new Cluster(options)` takes.
 *
 * Every option is checked when the cluster is made; one that breaks its rule throws an error with the code
 * `ERR_CLUSTER2_INVALID_OPTION` that names the option, the rule and the value. An option of an unknown name is reported
 * once as a warning and ignored. For scripts written for the original cluster2, a numeric string is accepted wherever a
 * number is, and a falsy value means the default unless the option says otherwise.
 */
interface ClusterOptions {
  /**
   * Whether to start workers. When falsy, the application is served by the process itself, on a single port, without pid
   * files and without anybody to replace it. As in cluster2, undefined is falsy; it is warned of.
   * @default true
   */
  cluster?: boolean;

  /**
   * Where the application listens: a port from 0 to 65535, the path of a unix socket (any string with a '/' that is not
   * a number; used as it is written), or a list of these, each only once and 1024 at most. 0 is any free port, the same
   * for all workers; it is 0 itself that counts, other falsy values mean the default.
   * @default 3000
   */
  port?: number | string | ReadonlyArray<number | string>;

  /**
   * Host name or IP address that the application's ports are bound to. IPv6 addresses are given without brackets, and may
   * have a zone (`fe80::1%eth0`), by the name or the number of a network interface.
   * @default '0.0.0.0'
   */
  host?: string;

  /**
   * Host name or IP address, as with `host`, that the monitor's port is bound to. `'127.0.0.1'` keeps the monitor on this
   * machine.
   * @default '0.0.0.0'
   */
  monHost?: string;

  /**
   * Port of the monitor, from 1 to 65535, and not a port of the application. 0 or false: no monitor at all.
   * @default 3001
   */
  monPort?: number | string | false;

  /**
   * Path of the monitor's page on its port; starts with '/'.
   * @default '/'
   */
  monPath?: string;

  /**
   * Who may read the monitor, and whether it may be used to steer the cluster. By default everybody who reaches its port
   * reads, and nobody steers. As in cluster2, an app given here is asked first on the monitor's port, where `createApp`
   * hands none over.
   * @default {control: false}
   */
  monitor?: MonitorOptions | App;

  /**
   * The health answer ("extended content verification") that load balancers ask for on the application's port. An
   * object changes what it names and leaves the other parts at their defaults; true is all defaults; false switches
   * the answer off, so that the application sees these requests itself.
   * @default {path: '/ecv', control: false}
   */
  ecv?: EcvOptions | boolean;

  /**
   * Number of workers that are kept running, a whole number from 1 to 1024. By default one for each processor that this
   * process may use (a container's quota counts), but 1024 at most.
   * @default os.availableParallelism()
   */
  noWorkers?: number | string;

  /**
   * Number of workers that stand by, a whole number from 0 to 1024: they have booted and run `createApp`, and wait for
   * the moment to listen. When a worker dies, a spare takes its place within milliseconds, and a fresh spare is started.
   * Spares are forked when the workers serve, are renewed by `reload()`, and count neither for `noWorkers` nor for
   * `scale`. Each costs the memory of a worker without clients.
   * @default 0
   */
  spares?: number | string;

  /**
   * Idle timeout of connections, in whole milliseconds from 1 to 2147483647. A connection on which nothing moves for so
   * long is closed, also while its request is being answered, and `warning` is emitted in the worker. HTTP/1 clients are
   * advised to give up an idle connection a second earlier (`Keep-Alive: timeout=29`), if it is 2000 or more. What the
   * application chooses itself stands: a `server.timeout` or `keepAliveTimeout` that is not Node's default, or the timeout
   * of one socket; and a connection that left HTTP (WebSocket, CONNECT) is never cut. Falsy values mean the default;
   * 2147483647 switches it off.
   * @default 30000
   */
  timeout?: number | string;

  /**
   * Number of connections, from 1 to `Number.MAX_SAFE_INTEGER`. A worker that has accepted more is recycled: a
   * successor is started, and when that listens the old worker finishes its requests and goes. The default recycles no
   * worker that is younger than ten minutes; a number that is given counts at once. Falsy values mean the default;
   * `Number.MAX_SAFE_INTEGER` switches it off.
   * @default 10000
   */
  connThreshold?: number | string;

  /**
   * Age in seconds, from 0.001 to 2147483647 (fractions are allowed). A worker that has run for longer is recycled.
   * Falsy values mean the default; 2147483647 switches it off.
   * @default 86400
   */
  uptimeThreshold?: number | string;

  /**
   * Number of HTTP requests, from 1 to `Number.MAX_SAFE_INTEGER`. A worker that has been asked for more is recycled. An
   * HTTP/2 stream is one request. Off by default.
   * @default null
   */
  requestThreshold?: number | string;

  /**
   * Resident memory in bytes, or a text with a unit (`'512mb'`, `'1.5gb'`; units are powers of 1024). A worker that is
   * larger is recycled; it is looked at once a second. Off by default.
   * @default null
   */
  memoryThreshold?: number | string;

  /**
   * From 0 to 1: each worker's thresholds are raised, at random, by up to this fraction, so that workers that were
   * started together are not due together. A threshold is never lowered.
   * @default 0
   */
  recycleJitter?: number | string;

  /**
   * Working directory of the workers; a relative path is taken from the master's. `reload()` looks it up again, so a
   * symbolic link that was switched to another release is followed. By default the directory in which the master was
   * started, by the name under which the shell knew it (`$PWD`).
   * @default null
   */
  cwd?: string;

  /**
   * Number of the user as whom workers run, from 0 (root) to 4294967294; by default the master's. The master must be
   * allowed to become that user. Workers have to be able to read the script, and what it uses, as that user.
   * @default null
   */
  uid?: number | string | null;

  /**
   * Number of the group as which workers run, from 0 to 4294967294; by default the master's.
   * @default null
   */
  gid?: number | string | null;

  /**
   * Time between two `heartbeat` events of a process, in whole milliseconds from 1 to 2147483647.
   * @default 60000
   */
  heartbeatInterval?: number | string;

  /**
   * Longest time that a worker's event loop may stand still, in whole milliseconds from 1000 to 2147483647: what is shorter
   * can't be told from health on a busy machine. A worker that exceeds it is taken to be hung and is replaced.
   * @default 180000
   */
  maxHeartbeatDelay?: number | string;

  /**
   * Directory for the pid files and the control socket of master and workers, by which `stop()` and `shutdown()` find
   * them from another process. A relative path is taken from the working directory. Where it can't be made or written, a
   * private directory in the system's temporary one takes its place, with a warning (`ERR_CLUSTER2_PIDS`).
   * @default '<cwd>/pids'
   */
  pids?: string;

  /**
   * Directory whose files the monitor serves under `/logs`, and nothing outside of it. It is only read, and nothing makes
   * it. A relative path is taken from the working directory.
   * @default '<cwd>/logs'
   */
  logs?: string;

  /**
   * A script that workers run as it is, with nothing of this package in it: `new Cluster({exec: 'app.js'}).listen()`, as
   * `cluster2 start app.js` does. The master runs none of it. In a worker it is the main module; every server that it opens
   * is drained, counted and reloaded. A path, taken from `cwd`, or the name of an installed program (`'next'`). With it
   * `timeout` and `connThreshold` are off by default, `monHost` is '127.0.0.1', a busy `monPort` that was not given gives
   * way to a free one, and `ecv` is answered on the application's ports only if it is given. `port` and `host` are the
   * script's own business.
   * @default null
   */
  exec?: string;

  /**
   * Arguments of the script, as a list or as one text with spaces between them.
   * @default []
   */
  args?: ReadonlyArray<string> | string;

  /**
   * Flags of Node itself for the script, in the same form: `'--import tsx'`.
   * @default []
   */
  nodeArgs?: ReadonlyArray<string> | string;

  /**
   * Environment variables of the workers, over those of the master; null takes one away.
   * @default {}
   */
  env?: Readonly<Record<string, string | number | boolean | null>>;

  /**
   * Environment variables that count up: each worker gets the number that is given plus that of its slot. `{PORT: 3000}`
   * is 3000 in slot 0 and 3001 in slot 1.
   * @default {}
   */
  instanceEnv?: Readonly<Record<string, number | string>>;

  /**
   * When truthy, a worker is ready when its script says `process.send('ready')`, and not when its first server listens.
   * @default false
   */
  waitReady?: boolean;

  /**
   * What people call the cluster, at most 64 characters; the command line and `/status.json` show it.
   * @default null
   */
  name?: string;

  /**
   * File to which workers append their stdout and stderr, each by itself; by default both are the master's. A relative
   * path is taken from the working directory. It is opened afresh for each worker.
   * @default null
   */
  log?: string;

  /**
   * Milliseconds between two forks in a slot whose workers have died twice in a row; doubled with each further death, up
   * to 30 s.
   * @default 100
   */
  restartDelay?: number | string;

  /**
   * When truthy, `listen()` does not start anything: it ends the running cluster of the `pids` directory at once, as
   * `stop()` does.
   * @default false
   */
  stop?: boolean;

  /**
   * When truthy, `listen()` does not start anything: it shuts the running cluster of the `pids` directory down
   * gracefully, as `shutdown()` does.
   * @default false
   */
  shutdown?: boolean;

  /**
   * Which workers are replaced after they have ended by themselves: `'on-failure'` all but those with exit status 0,
   * `'always'` all of them.
   * @default 'on-failure'
   */
  restart?: 'on-failure' | 'always';

  /**
   * What becomes of a worker in which an exception was not caught. `'recycle'` prints it, starts a successor and lets
   * the worker finish its other requests; `'continue'` prints it and goes on, from when `listen` is called; `'exit'` ends
   * the worker, as Node does. Before it serves, a worker with `'recycle'` ends too, and so does any worker whose
   * `createApp` throws. A listener of the application for 'uncaughtException' takes precedence; those that `node:domain`,
   * Sentry and PostHog add by themselves do not.
   * @default 'recycle'
   */
  onUncaughtException?: 'recycle' | 'continue' | 'exit';

  /**
   * How long workers may finish their requests in a graceful shutdown, in whole milliseconds from 1 to 2147483647.
   * Those that are not done by then are ordered to end at once. The whole shutdown takes `drainDelay`, this,
   * `killTimeout` and 4 s more at most; that should stay below what the service manager grants (Kubernetes: 30 s).
   * @default 23000
   */
  shutdownTimeout?: number | string;

  /**
   * From the order to end at once to SIGKILL, in whole milliseconds from 1 to 2147483647.
   * @default 2000
   */
  killTimeout?: number | string;

  /**
   * How long a worker that is going leaves idle keep-alive connections open, in whole milliseconds from 0 to
   * 2147483647, so that a request that is already on its way is still answered. 0 closes them at once.
   * @default 1000
   */
  keepAliveGrace?: number | string;

  /**
   * How long a new worker may take until it listens, in whole milliseconds from 1 to 2147483647. One that takes longer
   * is killed and replaced.
   * A worker that made a `Cluster` and listens without it is ready half a second before, with a `warning`.
   * @default 60000, or the environment variable DEATH_TIMEOUT
   */
  startTimeout?: number | string;

  /**
   * How long a recycled worker may finish its requests, in whole milliseconds from 1 to 2147483647. After that it is
   * ordered to end at once.
   * @default 60000, or the environment variable DEATH_TIMEOUT
   */
  recycleTimeout?: number | string;

  /**
   * How connections are spread over the workers. `'slots'` (Linux only): each worker slot has a listening socket, from
   * which its worker and three others accept, whoever is idle first; even, and no client waits for a busy worker.
   * `'shared'`: all workers accept from one socket; uneven, and each connection wakes all who are idle. `'rr'`: the
   * master accepts and hands each connection to the worker with the fewest; each costs the master time.
   * docs/operations.md compares them.
   * @default 'slots' on Linux, else 'shared'
   */
  scheduling?: 'slots' | 'shared' | 'rr';

  /**
   * How many connections the kernel queues for each listening socket, from 1 to 65535; the system may allow less.
   * @default 511
   */
  backlog?: number | string;

  /**
   * `'address'`: all connections from one client address (IPv4 or IPv6) go to the same worker slot, as long as a worker
   * serves it; for what keeps state between connections in a worker, such as socket.io's long-polling. Needs
   * `scheduling: 'slots'`, and at most 220 workers. Clients behind one proxy have one address. A blocked worker keeps its
   * clients.
   * @default 'none'
   */
  sticky?: 'none' | 'address';

  /**
   * Longest time that a worker's event loop may stand still, in whole milliseconds from 1000 to 2147483647, where it is
   * to be shorter than `maxHeartbeatDelay`. A worker that exceeds it is reported by `hung`, then replaced: its successor
   * listens first. Then it is killed, or drains if its loop turns again.
   * @default null
   */
  hangTimeout?: number | string | null;

  /**
   * Whether the JavaScript stack of a hung worker is captured before it is replaced and given with `hung`. Workers are
   * then started so that their inspector, if it is opened, is on loopback on a port of the kernel's choice; it is opened
   * in a hung worker only, which ends soon after. An application's own listener for SIGUSR1 prevents it.
   * @default false
   */
  captureStack?: boolean;

  /**
   * Whether workers count their requests, by status and duration, for the monitor and `/metrics`. When falsy (but not
   * undefined) only connections are counted, and what the process itself shows. An object means true, and may ask for
   * more.
   * @default true
   */
  metrics?: MetricsOptions | boolean;

  /**
   * Whether workers keep their last 64 requests (method, path without query, times, status) in shared memory, so that
   * `died` can tell which were under way. Needs `metrics`.
   * @default true
   */
  flightRecorder?: boolean;

  /**
   * How long a graceful shutdown first answers DISABLED on the ECV path (and is not ready), while it serves on, in whole
   * milliseconds from 0 to 2147483647: time for balancers to look elsewhere before the port closes.
   * @default 0
   */
  drainDelay?: number | string;

  /**
   * `/live` on the monitor's port is 200 while some event loop has turned within this time, in whole milliseconds from 1
   * to 2147483647.
   * @default 30000
   */
  liveMaxAge?: number | string;

  /**
   * How many workers must serve, with an event loop that turns, for `/ready` to be 200; from 1 to 1024.
   * @default 1
   */
  readyQuorum?: number | string;
}

/** What `Cluster.defaultOptions` shows. Of a secret, or a function, it only says whether there is one. */
type DefaultOptions = {
  readonly [Name in Exclude<keyof ClusterOptions, 'ecv' | 'monitor'>]: NonNullable<ClusterOptions[Name]> | null;
} & {
  readonly ecv: {
    readonly path: string;
    /** Null is '/'. */
    readonly monitor: string | null;
    readonly control: boolean;
    readonly validator: boolean;
    readonly timeout: number;
    readonly startDisabled: boolean;
    /** Null is everywhere. */
    readonly controlFrom: readonly string[] | null;
    readonly token: boolean;
  };
  readonly monitor: { readonly control: boolean; readonly token: boolean };
};

/** The parts of the option `metrics`. */
interface MetricsOptions {
  /**
   * Whether workers count V8's collections of garbage, and the time spent in them, for `/metrics` and `heartbeat`. They
   * are then told of each by Node, which costs a busy worker about 2 % of its time. Without it the figures of `heartbeat`
   * are 0, and the metrics are absent.
   * @default false
   */
  gc?: boolean;
}

/** The parts of the option `monitor`. */
interface MonitorOptions {
  /**
   * Whether the page and `POST /control/...` on the monitor's port may enable, disable, reload, scale and recycle. A
   * `token` must be given with it.
   * @default false
   */
  control?: boolean;

  /**
   * A secret without which the monitor's port answers 401, but for `ecv.path`, `/live`, `/ready` and `/metrics`: as
   * `Authorization: Bearer <token>`, or as the password that a browser asks for.
   * @default none
   */
  token?: string;
}

/** The parts of the option `ecv`. */
interface EcvOptions {
  /**
   * Path that is answered, without query; `<path>/disable` and `<path>/enable` belong to it.
   * @default '/ecv'
   */
  path?: string;

  /**
   * Path of the application (a query may follow) that is requested to find out whether the application is well. An
   * answer with a status from 300 upwards, or none, makes the health answer 500.
   * @default '/'
   */
  monitor?: string;

  /**
   * Whether `POST <path>/disable` and `POST <path>/enable` take the cluster out of rotation and back. Let only those
   * reach them who may do that.
   * @default false
   */
  control?: boolean;

  /**
   * Judges the answer to the request for `monitor`, of whose body it sees the first MiB; a falsy result (or a promise of
   * one) or an exception makes the health answer 500. A status from 300 upwards does so in any case.
   */
  validator?: (
    status: number,
    headers: Record<string, string | string[] | undefined>,
    body: string,
  ) => unknown;

  /**
   * How long the request for `monitor` may take, in whole milliseconds from 1 to 2147483647; what takes longer makes the
   * health answer 500.
   * @default 5000
   */
  timeout?: number | string;

  /**
   * Whether the cluster begins disabled, until somebody enables it.
   * @default false
   */
  startDisabled?: boolean;

  /**
   * From where `POST <path>/disable` and `/enable` are taken: an IP address, a block such as `'10.0.0.0/8'`, or a list of
   * these. It is the address of the connection that counts; of a proxy, that is the proxy's. Others get 403.
   * @default everywhere
   */
  controlFrom?: string | readonly string[];

  /**
   * A secret that these requests must bring as `Authorization: Bearer <token>`. Others get 403.
   * @default none
   */
  token?: string;
}

/** What `reload` takes. */
interface ReloadOptions {
  /**
   * `'rolling'` starts one successor at a time, the next when it listens; `'all-first'` starts all at once, and no old
   * worker goes before all of them listen.
   * @default 'rolling'
   */
  strategy?: 'rolling' | 'all-first';

  /**
   * Environment variables for all later workers, over the master's `process.env` as it is now; null takes a variable
   * away. They stay for later reloads.
   */
  env?: Record<string, string | number | boolean | null | undefined>;

  /**
   * Calls off a reload that is under way, in favour of this one, which otherwise joins it.
   * @default false
   */
  restart?: boolean;
}

/** What `reload` resolves with. Times are in ms since the reload began. */
interface ReloadResult {
  /** Each exchange, in the order in which the new workers were started. */
  workers: Array<{
    /** The slot of both workers. */
    slot: number;
    /** The process that went. */
    oldPid: number;
    /** The process that came. */
    newPid: number;
    /** When the new worker was started. */
    startMs: number;
    /** When it listened. */
    readyMs: number;
    /** When the old worker was gone. */
    goneMs: number;
  }>;
  /** When the last old worker was gone. */
  ms: number;
  /**
   * Only in a reload that another process asked for, and that this call joined: the master's event loop was blocked, so
   * script, directory and environment are those of before. A `warning` says the same.
   */
  staleSettings?: true;
}
