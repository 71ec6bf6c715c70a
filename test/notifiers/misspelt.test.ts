import { describe, expect, it } from 'vitest';
import { pubsubNotifier } from '../../notifiers/pubsub.js';
import { snsNotifier } from '../../notifiers/sns.js';
import { stdoutNotifier } from '../../notifiers/stdout.js';
import { webhookNotifier } from '../../notifiers/webhook.js';
import { lmdbStore } from '../../stores/lmdb.js';

const MAKERS: [string, (options: never) => unknown, string][] = [
  ['stdoutNotifier', stdoutNotifier, 'stream'],
  ['webhookNotifier', webhookNotifier, 'url, secret, headers'],
  ['pubsubNotifier', pubsubNotifier, 'topic, client, orderingKey'],
  ['snsNotifier', snsNotifier, 'topicArn, client, messageGroupId'],
  ['lmdbStore', lmdbStore, 'path'],
];

describe('an option that does not exist', () => {
  it.each(MAKERS)('is refused by %s with its name, and with those that do', (name, make, allowed) => {
    const call = () => make({ URL: 'http://127.0.0.1:1/' } as never);
    expect(call).toThrow(`${name}: "URL" is no option, allowed: ${allowed}`);
    expect(call).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});
