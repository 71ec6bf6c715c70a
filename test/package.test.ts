import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PACKAGE = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const ENTRIES = Object.entries(
  PACKAGE.exports as Record<string, string | { types: string; default: string }>,
);

function filesIn(folder: string, ending: RegExp): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => ending.test(name))
    .map((name) => join(folder, name));
}

function importsOf(path: string, kinds = /^(?!.*\bimport type\b)/): string[] {
  const text = readFileSync(join(ROOT, path), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  return [...text.matchAll(/^(?:import|export)\b[^;]*?from\s+['"]([^'"]+)['"];/gm)]
    .filter(([statement]) => kinds.test(statement))
    .map(([, from]) => from as string);
}

describe('the package', () => {
  it('every export has its files, and every public module its export', () => {
    const missing = ENTRIES.flatMap(([, entry]) =>
      typeof entry === 'string' ? [entry] : Object.values(entry),
    ).filter((path) => !existsSync(join(ROOT, path)));
    expect(missing).toEqual([]);
    const entries = ENTRIES.flatMap(([, entry]) => (typeof entry === 'string' ? [] : [entry.default]));
    const publicModules = [
      './dist/src/index.js',
      './dist/src/testing/index.js',
      ...['notifiers', 'stores'].flatMap((folder) =>
        readdirSync(join(ROOT, 'dist', folder))
          .filter((name) => name.endsWith('.js'))
          .map((name) => `./dist/${folder}/${name}`),
      ),
      './dist/http/index.js',
      './dist/http/nest.js',
      './dist/children/index.js',
      './dist/supervisor/index.js',
      './dist/queues/bullmq.js',
    ];
    expect(entries.sort()).toEqual(publicModules.sort());
  });

  it('has the pages that its README leads to, but for tests', () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
    const links = [...readme.matchAll(/\]\((?!https?:|#|test\/)([^)#]+)/g)].map(([, path]) => path as string);
    const isPacked = (path: string) =>
      PACKAGE.files.some((entry: string) => path === entry || path.startsWith(`${entry}/`));
    expect(links.length).toBeGreaterThan(10);
    expect(links.filter((path) => !isPacked(path) || !existsSync(join(ROOT, path)))).toEqual([]);
    const anchors = [...readme.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor as string);
    const headings = [...readme.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\w\s-]/g, '')
        .replace(/\s/g, '-'),
    );
    expect(anchors.filter((anchor) => !headings.includes(anchor))).toEqual([]);
  });

  it('every entry can be imported and required, and exports something', () => {
    const names = ENTRIES.map(([path]) => path.replace('.', 'shutdown-bus')).filter(
      (name) => !name.endsWith('.json'),
    );
    const program = `
      import { createRequire } from 'node:module';
      const require = createRequire(${JSON.stringify(join(ROOT, 'package.json'))});
      const names = ${JSON.stringify(names)};
      const counts = [];
      for (const name of names) {
        const [imported, required] = [await import(name), require(name)];
        if (imported !== required && Object.keys(imported).join() !== Object.keys(required).join()) throw new Error(name);
        counts.push(Object.keys(imported).length);
      }
      console.log(JSON.stringify(counts));`;
    const counts = JSON.parse(
      execFileSync(process.execPath, ['--no-warnings', '--input-type=module', '-e', program], {
        cwd: ROOT,
        encoding: 'utf8',
      }),
    );
    expect(counts).toHaveLength(names.length);
    for (const count of counts) expect(count).toBeGreaterThan(0);
  });

  it('A28: importing "." loads the core and eventemitter3, nothing of any platform or backend', () => {
    const seen = new Set<string>();
    const outside = new Set<string>();
    const visit = (path: string) => {
      if (seen.has(path)) return;
      seen.add(path);
      for (const from of importsOf(path)) {
        if (from.startsWith('.')) visit(relative(ROOT, resolve(ROOT, dirname(path), from)));
        else if (!from.startsWith('node:')) outside.add(from);
      }
    };
    visit('dist/src/index.js');
    expect([...outside]).toEqual(['eventemitter3']);
    expect([...seen].every((path) => path.startsWith('dist/src/'))).toBe(true);
    const bytes = [...seen].reduce((sum, path) => sum + statSync(join(ROOT, path)).size, 0);
    // Ceilings: every file and every kilobyte is paid for at the start of every service.
    expect(seen.size).toBeLessThanOrEqual(5);
    expect(bytes).toBeLessThan(100_000);
  });
});

describe('the layers', () => {
  it('src/ never imports a backend or an adapter', () => {
    const wrong = filesIn('src', /\.c?ts$/).flatMap((path) =>
      importsOf(path, /./)
        .filter((from) =>
          /(^|\/)(notifiers|stores|http|children|supervisor|cli|queues|demo|examples|test|bench)\//.test(
            from,
          ),
        )
        .map((from) => `${path}: ${from}`),
    );
    expect(wrong).toEqual([]);
  });

  it('a backend imports only contracts from src/', () => {
    const contracts = /src\/(notifier|store|envelope|errors)\.js$/;
    const wrong = ['notifiers', 'stores'].flatMap((folder) =>
      filesIn(folder, /\.ts$/).flatMap((path) =>
        importsOf(path, /./)
          .filter((from) => from.includes('/src/') && !contracts.test(from))
          .map((from) => `${path}: ${from}`),
      ),
    );
    expect(wrong).toEqual([]);
  });

  it('an adapter imports src/ and its own folder, and no backend', () => {
    const wrong = ['http', 'children', 'queues'].flatMap((folder) =>
      filesIn(folder, /\.ts$/).flatMap((path) =>
        importsOf(path, /./)
          .filter((from) => from.startsWith('.') && !/^(\.|\.\.\/src)\/[\w/-]+\.js$/.test(from))
          .map((from) => `${path}: ${from}`),
      ),
    );
    expect(wrong).toEqual([]);
  });

  it('the supervisor imports src/ and http/, whose servers its workers drain; only the command line imports it', () => {
    const importsIn = (folder: string) =>
      filesIn(folder, /\.ts$/).flatMap((path) =>
        importsOf(path, /./)
          .filter((from) => from.startsWith('.'))
          .map((from) => relative(ROOT, resolve(ROOT, dirname(path), from)).split('/')[0] as string),
      );
    expect([...new Set(importsIn('supervisor'))].sort()).toEqual(['http', 'src', 'supervisor']);
    expect([...new Set(importsIn('cli'))].sort()).toEqual(['cli', 'src', 'supervisor']);
  });

  it('a backend never imports another one', () => {
    const kinds = ['stdout', 'webhook', 'pubsub', 'sns'];
    const wrong = kinds.flatMap((kind) =>
      importsOf(`notifiers/${kind}.ts`, /./).filter((from) =>
        kinds.some((other) => other !== kind && new RegExp(`/${other}[./]`).test(from)),
      ),
    );
    expect(wrong).toEqual([]);
  });
});

describe('the behaviours asked for', () => {
  const wanted = [
    ...Array.from({ length: 33 }, (_, index) => `A${String(index + 1).padStart(2, '0')}`),
    ...Array.from({ length: 16 }, (_, index) => `C${String(index + 1).padStart(2, '0')}`),
    ...Array.from({ length: 24 }, (_, index) => `B${String(index + 1).padStart(2, '0')}`),
    ...Array.from({ length: 27 }, (_, index) => `D${String(index + 1).padStart(2, '0')}`),
  ];

  it('each has a test that carries its id', () => {
    const names = filesIn('test', /\.test\.ts$/)
      .flatMap((path) => [
        ...readFileSync(join(ROOT, path), 'utf8').matchAll(
          /(?:\b(?:it|describe)\b[^\n]*?\(|\)\()\s*(['"`])([^\n]*?)\1/g,
        ),
      ])
      .map(([, , name]) => name as string);
    const missing = wanted.filter((id) => !names.some((name) => name.includes(id)));
    expect(missing).toEqual([]);
  });
});
