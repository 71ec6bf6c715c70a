import { describe, expect, it } from 'vitest';
import { controlGroups, type ReadText } from '../../src/triggers/control-groups.js';

/** A file system with these files and no others. */
function files(content: Record<string, string>): ReadText {
  return (path) => {
    if (content[path] === undefined) throw new Error(`ENOENT: ${path}`);
    return content[path];
  };
}

function groupV2(folder: string, limit: string, used: number, stat = ''): Record<string, string> {
  return {
    [`${folder}/memory.max`]: `${limit}\n`,
    [`${folder}/memory.current`]: `${used}\n`,
    [`${folder}/memory.stat`]: stat,
  };
}

const V1 = '/sys/fs/cgroup/memory';
const V2 = '/sys/fs/cgroup';
const readingsOf = (content: Record<string, string>) =>
  controlGroups(files(content)).map(({ name, read }) => ({ name, ...read() }));

describe('the control groups that can end a process', () => {
  it('in a container of version 2 it is the root of what can be seen', () => {
    expect(readingsOf({ '/proc/self/cgroup': '0::/\n', ...groupV2(V2, '536870912', 100) })).toEqual([
      { name: 'cgroup v2', usedBytes: 100, limitBytes: 536_870_912 },
    ]);
  });

  it('in a container of version 1 it is the root as well, whatever path the kernel tells', () => {
    const content = {
      '/proc/self/cgroup': '5:cpu:/docker/abc\n4:cpuset,memory:/docker/abc\n',
      [`${V1}/memory.limit_in_bytes`]: '1000000\n',
      [`${V1}/memory.usage_in_bytes`]: '900000\n',
      [`${V1}/memory.stat`]:
        'cache 1\ninactive_file 7\ntotal_inactive_file 300000\ntotal_active_file 100000\ntotal_mapped_file 50000\n',
    };
    expect(readingsOf(content)).toEqual([{ name: 'cgroup v1', usedBytes: 550_000, limitBytes: 1_000_000 }]);
  });

  it('outside of containers its own group counts, and each one around it', () => {
    const content = {
      '/proc/self/cgroup': '0::/system.slice/orders.service\n',
      ...groupV2(`${V2}/system.slice/orders.service`, '1000', 10),
      ...groupV2(`${V2}/system.slice`, '2000', 20),
    };
    expect(readingsOf(content).map(({ limitBytes }) => limitBytes)).toEqual([1000, 2000]);
  });

  it('files that were read are no use of memory, those that are mapped are', () => {
    const stat = 'anon 400\nfile_mapped 50\ninactive_file 300\nactive_file 200\n';
    expect(readingsOf({ '/proc/self/cgroup': '0::/', ...groupV2(V2, '1000', 900, stat) })[0]?.usedBytes).toBe(
      450,
    );
    const mapped = 'file_mapped 600\ninactive_file 300\nactive_file 200\n';
    expect(
      readingsOf({ '/proc/self/cgroup': '0::/', ...groupV2(V2, '1000', 900, mapped) })[0]?.usedBytes,
    ).toBe(900);
  });

  it.each([
    ['max', groupV2(V2, 'max', 5)],
    [
      'a number near 2⁶³',
      {
        [`${V1}/memory.limit_in_bytes`]: '9223372036854771712',
        [`${V1}/memory.usage_in_bytes`]: '5',
        [`${V1}/memory.stat`]: '',
      },
    ],
  ])('%s is no limit', (_what, content) => {
    expect(readingsOf(content).map(({ limitBytes }) => limitBytes)).toEqual([Number.POSITIVE_INFINITY]);
  });

  it('a limit that is changed while the process runs counts from then on', () => {
    const content = groupV2(V2, '1000', 10);
    const [group] = controlGroups(files(content));
    content[`${V2}/memory.max`] = '500';
    expect(group?.read().limitBytes).toBe(500);
  });

  it('seen from a namespace below, a group outside is not looked for', () => {
    const content = { '/proc/self/cgroup': '0::/../../other\n', ...groupV2(V2, '700', 1) };
    expect(readingsOf(content).map(({ limitBytes }) => limitBytes)).toEqual([700]);
  });

  it('where there are none, there are none', () => {
    expect(controlGroups(files({}))).toEqual([]);
  });
});
