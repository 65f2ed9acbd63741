import { MOSQUITTO_FINDINGS } from '../../../../test/support/broker-findings.js';
import type { BrokerFindings } from './broker-check.js';
import { weakerPromises } from './weaker-promises.js';

const { granted } = MOSQUITTO_FINDINGS;

describe('weakerPromises', () => {
  it('finds none on a broker like Mosquitto, and none in what is not known', () => {
    expect(weakerPromises(MOSQUITTO_FINDINGS, 'intake')).toEqual([]);
    expect(
      weakerPromises({ ...MOSQUITTO_FINDINGS, absenceProvable: null, noSubscriberSignal: null }, 'intake'),
    ).toEqual([]);
  });

  it.each<[string, Partial<BrokerFindings>, string]>([
    ['sessions that expire', { granted: { ...granted, sessionExpirySeconds: 3600 } }, 'for 3600 s only'],
    ['small packets', { granted: { ...granted, maximumPacketSize: 1000 } }, 'packets of 1000 bytes only'],
    ['a long keep-alive', { granted: { ...granted, serverKeepAliveSeconds: 60 } }, 'after up to 90 s'],
    ['no report of missing subscribers', { noSubscriberSignal: false }, 'never held'],
    ['reads that prove no absence', { absenceProvable: false }, 'take no client offline'],
    ['retained messages that cannot be read', { absenceProvable: null, readProblem: 'no right' }, 'can: no right'],
    ['topics that are not allowed', { notAllowed: 'a/b' }, 'does not allow a/b'],
  ])('has one line for %s', (_, found, text) => {
    expect(weakerPromises({ ...MOSQUITTO_FINDINGS, ...found }, 'intake')).toEqual([expect.stringContaining(text)]);
  });

  it('has no line for sessions that expire if the app keeps none', () => {
    expect(
      weakerPromises({ ...MOSQUITTO_FINDINGS, granted: { ...granted, sessionExpirySeconds: 3600 } }, 'publish'),
    ).toEqual([]);
  });
});
