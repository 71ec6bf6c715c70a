// @ts-check
// Shows: a Nest application. A request in flight is answered, one that cannot finish has its job reported, and only then
//        the lifecycle hooks of the providers run. Without a compiler a decorator is a function to call.
// Try:   node examples/10-nest.js; then Ctrl-C or the kill line.
import { setTimeout as sleep } from 'node:timers/promises';
import { Controller, Get, Inject, Module, Query } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { nestShutdown, SHUTDOWN_BUS, ShutdownModule } from 'shutdown-bus/http/nest';

class Pages {
  constructor(/** @type {import('shutdown-bus').ShutdownBus} */ bus) {
    this.bus = bus;
  }

  render(/** @type {string} */ film, /** @type {string} */ ms) {
    return this.bus.jobs.run({ type: 'page', payload: { film } }, async () => {
      await sleep(Number(ms));
      return `${film}: rendered`;
    });
  }
}
Controller()(Pages);
Inject(SHUTDOWN_BUS)(Pages, undefined, 0);
Get('render')(Pages.prototype, 'render', { value: Pages.prototype.render });
Query('film')(Pages.prototype, 'render', 0);
Query('ms')(Pages.prototype, 'render', 1);

class Pool {
  onModuleDestroy() {
    console.log('onModuleDestroy');
  }
  onApplicationShutdown(/** @type {string} */ signal) {
    console.log(`onApplicationShutdown: ${signal}, the pool is closed`);
  }
}

class AppModule {}
const shutdown = ShutdownModule.forRoot({ readinessPath: '/ready' });
Module({ imports: [shutdown], controllers: [Pages], providers: [Pool] })(AppModule);

const app = await NestFactory.create(AppModule, { logger: false });
nestShutdown(app); // in place of app.enableShutdownHooks()
await app.listen(0, '127.0.0.1');

// Two clients, so that there is something to see without a second terminal.
const { port } = app.getHttpServer().address();
for (const [film, ms] of [
  ['Faust', 1000],
  ['Metropolis', 3_600_000],
]) {
  fetch(`http://127.0.0.1:${port}/render?film=${film}&ms=${ms}`).then(
    async (response) =>
      console.log(`GET ${film}: ${response.status} ${response.ok ? await response.text() : ''}`),
    (error) => console.log(`GET ${film}: ${error.cause?.code ?? error.message}`),
  );
}
while (app.get(SHUTDOWN_BUS).jobs.size < 2) await sleep(5);

console.log(`end this process with: kill -TERM ${process.pid}`);
