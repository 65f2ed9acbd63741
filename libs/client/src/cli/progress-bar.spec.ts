import { progressBar } from './progress-bar.js';

describe('progressBar', () => {
  it.each([
    [0, '[                    ]   0 %  '],
    [50, '[##########          ]  50 %  '],
    [99.6, '[####################] 100 %  '],
    [100, '[####################] 100 %  '],
    [-5, '[                    ]   0 %  '],
    [400, '[####################] 100 %  '],
  ])('shows %p percent', (percent, bar) => {
    expect(progressBar(percent, '', 80)).toBe(bar);
  });

  it('shows the details alone if the client says no percentage', () => {
    expect(progressBar(null, 'step 1', 80)).toBe('step 1');
  });

  it('stays on one line, whatever the client says', () => {
    expect(progressBar(50, 'x'.repeat(500), 40)).toHaveLength(39);
    expect(progressBar(null, 'a\n\u001b[2Jb', 80)).toBe('a\\u{a}\\u{1b}[2Jb');
    // Each of these takes two columns.
    expect(progressBar(null, '你好你好', 6)).toBe('你好');
  });
});
