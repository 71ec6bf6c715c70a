import type { ShutdownReason, ShutdownReport } from '../src/index.js';
import type { BlockedReport } from './blocked-stack/memory.js';

/** Where a worker is in its life. */
export type WorkerState = 'starting' | 'ready' | 'stopping' | 'ended';

/** A worker as the supervisor shows it. */
export interface WorkerView {
  /** 1 for the first worker; never used again. */
  readonly id: number;
  readonly pid: number;
  readonly state: WorkerState;
  /** RFC 3339. */
  readonly startedAt: string;
  /** Requests it has begun, as of its last sign of life. */
  readonly requests: number;
}

/** How a worker ended. */
export interface WorkerEnding extends WorkerView {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Nobody had asked it to. */
  readonly unexpected: boolean;
}

/** What became of a rolling reload. */
export interface ReloadReport {
  /** `'given-up'`: a new worker did not become ready, the old ones go on. `'stopped'`: the supervisor ended meanwhile. */
  readonly outcome: 'restarted' | 'given-up' | 'stopped';
  /** How many were replaced. */
  readonly workers: number;
  readonly durationMs: number;
}

/** What a supervisor says to those who watch; nothing an observer throws disturbs it. */
export interface SupervisorEvents {
  'worker-started': [WorkerView];
  'worker-ready': [WorkerView];
  /** Something blocks its event loop: what, as far as that can be told. */
  'worker-blocked': [WorkerView & BlockedReport];
  /** Its event loop has given no sign of life for `silentMs`, or it was not ready in time; it gets `signal`. */
  'worker-silent': [WorkerView & { readonly silentMs: number; readonly signal: NodeJS.Signals }];
  'worker-ended': [WorkerEnding];
  /** As many workers as asked for are ready, for the first time. */
  ready: [SupervisorState];
  'reload-started': [{ readonly workers: number }];
  /** The last old worker is gone. */
  restarted: [ReloadReport];
  'reload-given-up': [ReloadReport];
  scaled: [{ readonly workers: number }];
  stopping: [{ readonly reason: ShutdownReason }];
  stopped: [ShutdownReport];
}

/** The supervisor at one moment. */
export interface SupervisorState {
  readonly state: 'running' | 'stopping' | 'stopped';
  readonly pid: number;
  readonly service: string;
  /** The program of the workers. */
  readonly exec: string;
  /** How many workers are asked for. */
  readonly wanted: number;
  readonly ready: number;
  readonly reloading: boolean;
  readonly workers: readonly WorkerView[];
}
