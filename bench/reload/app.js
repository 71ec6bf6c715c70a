// @ts-check
// The service, as it is without any thought of its end: no signal is handled, nothing says that it is ready.
import { createServer } from 'node:http';
import { answer } from './answer.js';

createServer(answer).listen(Number(process.env.PORT), '127.0.0.1');
