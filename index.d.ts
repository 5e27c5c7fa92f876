/**
 * What `new Cluster(options)` takes.
 *
 * Every option is checked when the cluster is made; one that breaks its rule throws an error with the code
 * `ERR_CLUSTER2_INVALID_OPTION` that names the option, the rule and the value. An option of an unknown name is reported
 * once as a warning and ignored. For scripts written for the original cluster2, a numeric string is accepted wherever a
 * number is, and a falsy value means the default unless the option says otherwise.
 */
export interface ClusterOptions {
  /**
   * Whether to start workers. When falsy (but not undefined), the application is served by the process itself, on a
   * single port, without pid files and without anybody to replace it.
   * @default true
   */
  cluster?: boolean;

  /**
   * Where the application listens: a port from 0 to 65535, the path of a unix socket (any string with a '/' that is not
   * a number; used as it is written), or a list of these, each only once. 0 is any free port, the same for all workers;
   * it is 0 itself that counts, other falsy values mean the default.
   * @default 3000
   */
  port?: number | string | ReadonlyArray<number | string>;

  /**
   * Host name or IP address that the application's ports are bound to. IPv6 addresses are given without brackets.
   * @default '0.0.0.0'
   */
  host?: string;

  /**
   * Host name or IP address that the monitor's port is bound to. `'127.0.0.1'` keeps the monitor on this machine.
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
   * The health answer ("extended content verification") that load balancers ask for on the application's port. An
   * object changes what it names and leaves the other parts at their defaults; true is all defaults; false switches
   * the answer off, so that the application sees these requests itself.
   * @default {path: '/ecv', control: false}
   */
  ecv?: EcvOptions | boolean;

  /**
   * Number of workers that are kept running, a whole number from 1 to 1024. By default one for each logical CPU, but
   * 1024 at most.
   * @default os.cpus().length
   */
  noWorkers?: number | string;

  /**
   * Idle timeout of connections, in whole milliseconds from 1 to 2147483647. A connection on which nothing moves for so
   * long is closed, also while its request is being answered, and `warning` is emitted in the worker.
   * @default 30000
   */
  timeout?: number | string;

  /**
   * Number of connections, from 1 to `Number.MAX_SAFE_INTEGER`. A worker that has accepted more is recycled: a
   * successor is started, and when that listens the old worker finishes its requests and goes.
   * @default 10000
   */
  connThreshold?: number | string;

  /**
   * Age in seconds, from 0.001 to 2147483647 (fractions are allowed). A worker that has run for longer is recycled.
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
   * Time between two `heartbeat` events of a process, in whole milliseconds from 1 to 2147483647.
   * @default 60000
   */
  heartbeatInterval?: number | string;

  /**
   * Longest time that a worker's event loop may stand still, in whole milliseconds from 1 to 2147483647. A worker that
   * exceeds it is taken to be hung and is replaced.
   * @default 180000
   */
  maxHeartbeatDelay?: number | string;

  /**
   * Directory for the pid files and the control socket of master and workers, by which `stop()` and `shutdown()` find
   * them from another process. A relative path is taken from the working directory.
   * @default '<cwd>/pids'
   */
  pids?: string;

  /**
   * Directory whose files the monitor shows under `/logs`. A relative path is taken from the working directory.
   * @default '<cwd>/logs'
   */
  logs?: string;

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
   * the worker finish its other requests; `'continue'` prints it and goes on; `'exit'` ends the worker, as Node does. A
   * listener of the application for 'uncaughtException' takes precedence.
   * @default 'recycle'
   */
  onUncaughtException?: 'recycle' | 'continue' | 'exit';

  /**
   * How long workers may finish their requests in a graceful shutdown, in whole milliseconds from 1 to 2147483647.
   * Those that are not done by then are ordered to end at once. Together with `killTimeout` it should stay below what
   * the service manager grants (Kubernetes: 30 s).
   * @default 25000
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
   * How connections are spread over the workers. `'slots'` (Linux only): each worker slot has a listening socket of its
   * own, so that a dead or blocked worker's queue can be moved. `'shared'`: all workers accept from one socket. `'rr'`:
   * the master accepts and hands each connection to the worker with the fewest; the fewest are lost in a crash, and each
   * costs the master time.
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
   * `scheduling: 'slots'`. Clients behind one proxy have one address. A blocked worker keeps its clients.
   * @default 'none'
   */
  sticky?: 'none' | 'address';

  /**
   * Longest time that a worker's event loop may stand still, in whole milliseconds from 1 to 2147483647, where it is to
   * be shorter than `maxHeartbeatDelay`. A worker that exceeds it is reported by `hung`, then replaced: its successor
   * listens first. A loop is known to stand still for 100 ms at the earliest.
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
   * undefined) only connections are counted, and what the process itself shows.
   * @default true
   */
  metrics?: boolean;

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

/** The parts of the option `ecv`. */
export interface EcvOptions {
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
   * Judges the answer to the request for `monitor`; a falsy result or an exception makes the health answer 500.
   * Without it the status alone counts.
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
export interface ReloadOptions {
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
}

/** What `reload` resolves with. Times are in ms since the reload began. */
export interface ReloadResult {
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
}
