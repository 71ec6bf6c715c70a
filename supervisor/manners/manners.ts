import type { Logger } from '../../src/index.js';
import type { SuperviseSettings } from '../options.js';
import type { Supervisor } from '../supervisor.js';
import { showTitle } from './process-title.js';
import { openNotifySocket } from './systemd.js';

/** Tells `ps` and systemd what the service does. To be called before workers are started: systemd's variables are not for them. */
export function tellEverybody(
  supervisor: Supervisor,
  { exec, workers }: SuperviseSettings,
  log: Logger,
): void {
  tellPs(supervisor, exec, workers);
  tellSystemd(supervisor, log);
}

function tellPs(supervisor: Supervisor, exec: string, workers: number): void {
  showTitle({ role: 'primary', exec, workers });
  supervisor.on('scaled', (scaled) => showTitle({ role: 'primary', exec, workers: scaled.workers }));
  supervisor.on('stopping', () => showTitle({ role: 'primary', exec, isStopping: true }));
}

function tellSystemd(supervisor: Supervisor, log: Logger): void {
  const socket = openNotifySocket(process.env, log);
  if (socket === undefined) return;
  const status = () => {
    const { ready, wanted } = supervisor.state();
    socket.status(`${ready} of ${wanted} workers ready`);
  };
  supervisor.on('ready', () => {
    socket.ready();
    status();
  });
  supervisor.on('worker-ready', status);
  supervisor.on('worker-ended', status);
  supervisor.on('reload-started', () => socket.reloading());
  supervisor.on('restarted', () => socket.ready());
  supervisor.on('reload-given-up', ({ workers }) => {
    socket.ready();
    socket.status(`reload given up after ${workers} workers`);
  });
  supervisor.bus.on('stopping', ({ budgetMs }) => socket.stopping(budgetMs));
  supervisor.bus.on('hurried', () => socket.stopping(supervisor.bus.config.budgetMs));
  supervisor.bus.on('stopped', () => void socket.close());
}
