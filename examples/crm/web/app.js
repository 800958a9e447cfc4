'use strict';

const $ = (id) => document.getElementById(id);
const random = () => Math.floor(Math.random() * 1e6);

async function call(method, path, body) {
  const response = await fetch(path, {
    method, headers: { 'Content-Type': 'application/json' }, body: body && JSON.stringify(body),
  });
  const text = await response.text();
  $('result').textContent = `${method} ${path}: ${response.status}\n${text}`;
  try { return JSON.parse(text); } catch { return null; }
}

async function who() {
  const response = await fetch('api/me');
  const user = response.ok ? (await response.json()).username : '';
  $('who').textContent = user ? `You are signed in as ${user}.` : 'You are not signed in.';
}

const actions = {
  login: (button) => call('POST', 'login', { username: button.dataset.name, password: button.dataset.name }),
  logout: () => call('POST', 'logout'),
  add: () => call('POST', 'api/customers', { name: `Customer ${random()}`, email: `c${random()}@example.com`, phone: '555-0100' }),
  change: () => call('PUT', 'api/customers/1', { phone: `555-${random()}` }),
  same: () => call('PUT', 'api/customers/1', {}),
  import: () => call('POST', 'api/customers/import?source=page.csv', [
    { name: 'Row one', email: `r${random()}@example.com` }, { name: '', email: 'none' }, { name: 'Row three', email: `r${random()}@example.com` },
  ]),
  export: () => call('GET', 'api/customers/export'),
  order: () => call('POST', 'api/checkout', { customer_id: 1, item: 'Grinder', total_cents: 12900, card: 'good' }),
  fail: () => call('POST', 'api/checkout', { customer_id: 1, item: 'Never bought', total_cents: 1, card: 'declined' }),
  family: () => call('POST', 'api/employees', { name: `Employee ${random()}`, department: 'Sales', dependents: [{ name: 'A child', relationship: 'child' }] }),
  leave: async () => {
    const employees = await call('GET', 'api/employees');
    if (employees?.length) await call('DELETE', `api/employees/${employees.at(-1).id}`);
  },
};

document.addEventListener('click', async (event) => {
  const action = actions[event.target.dataset.do];
  if (!action) return;
  try { await action(event.target); } catch (error) { $('result').textContent = String(error); }
  await who();
});
who();
