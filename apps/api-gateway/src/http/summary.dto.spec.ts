import { SummaryBody, toSummaryBody } from './summary.dto.js';

describe('toSummaryBody', () => {
  it('adds up the connections by state', () => {
    const body = toSummaryBody({ online: { host: 1, proxy: 20 }, offline: { host: 300, proxy: 4000 } });
    expect(body).toEqual({
      online: { host: 1, proxy: 20, total: 21 },
      offline: { host: 300, proxy: 4000, total: 4300 },
      total: 4321,
    });
    expect(SummaryBody.parse(body)).toEqual(body);
  });
});
