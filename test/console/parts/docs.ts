/** The page of the OpenAPI document in production, in a browser: it shows the operations and tries them out with a key. */
import type { Stage } from '../support/stage.js';

export function docsTests(stage: Stage): void {
  it('shows each operation, and tries one out with a key; the content security policy stops nothing', async () => {
    const { page, faults } = await stage.operator.visit('/docs');
    const document = (await (await fetch(`${stage.url}/openapi.json`)).json()) as { paths: Record<string, object> };
    const operations = Object.values(document.paths).flatMap((methods) => Object.keys(methods));
    await page
      .locator('.opblock')
      .nth(operations.length - 1)
      .waitFor();
    expect(await page.locator('.opblock').count()).toBe(operations.length);

    const list = page.locator('#operations-Connections-listConnections');
    await list.getByRole('button').first().click();
    await list.getByRole('button', { name: 'Try it out' }).click();
    const status = list.locator('.live-responses-table .response-col_status').last();
    await list.getByRole('button', { name: 'Execute' }).click();
    await status.getByText('401').waitFor();

    await page.getByRole('button', { name: 'Authorize' }).first().click();
    const dialog = page.locator('.dialog-ux');
    await dialog.getByLabel('auth-bearer-value').first().fill(stage.keys.reader);
    await dialog.getByRole('button', { name: 'Apply credentials' }).first().click();
    await dialog.getByRole('button', { name: 'Close' }).last().click();
    await list.getByRole('button', { name: 'Execute' }).click();
    await status.getByText('200').waitFor();
    expect(await list.locator('.request-url').textContent()).toContain(`${stage.url}/v1/connections`);
    expect(faults).toEqual([]);
  });
}
