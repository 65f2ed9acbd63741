import type { BrokerFindings } from '@app/broker';

/** What a check finds on a Mosquitto that `startMosquitto` has started. */
export const MOSQUITTO_FINDINGS: BrokerFindings = {
  granted: {
    sessionExpirySeconds: null,
    receiveMaximum: 1000,
    maximumPacketSize: null,
    maximumQos: 2,
    retainAvailable: true,
    sharedSubscriptions: true,
    wildcardSubscriptions: true,
    serverKeepAliveSeconds: null,
  },
  absenceProvable: true,
  noSubscriberSignal: true,
  notAllowed: undefined,
  readProblem: undefined,
};
