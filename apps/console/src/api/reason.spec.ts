import { ProblemError } from '@cloud-connector/client';
import { reasonOf } from './reason.js';

it('says what the service has answered, and not what a program that uses the client could do', () => {
  const problem = { type: 'urn:x:unauthenticated', title: 'No', status: 401, detail: 'why', request_id: 'r' };
  const error = new ProblemError({ ...problem, instance: '/' }, undefined);
  expect(error.message).toContain(error.remedy);
  expect([reasonOf(error), reasonOf(new Error('broken')), reasonOf('text')]).toEqual(['No: why', 'broken', 'text']);
});
