// The clients with their figures, what can be done about them, and the requests that were not let in.

import { action, byId, change, el, fill } from './dom.js';
import { addClient, changeClient } from './client-dialog.js';
import { ago, duration, has, number, t } from './texts.js';
import { state } from './state.js';

const NUMBERS = ['calls', 'errors', 'time', 'waiting'];
const HEADS = ['name', 'seen', ...NUMBERS, 'rights'];

/** A cell that carries its heading with it, for screens on which there is no room for a table. */
const cell = (name, value, attributes) => el('td', { 'data-label': t(`clients.${name}`), ...attributes }, value);
const figure = (name, value) => cell(name, value, { class: 'number-cell' });

function row(client) {
  const awake = client.seen && Date.now() - client.seen < 300000;
  const waiting = state.queue?.waiting_by_client[client.name] ?? 0;
  const extent = client.enabled ? t(`rights.${client.rights}`) : t('clients.off');
  return el('tr', { class: client.enabled ? false : 'off' },
    el('th', { scope: 'row' }, el('span', { class: 'state' },
      el('span', { class: `mark ${awake ? 'good' : 'idle'}`, role: 'img', 'aria-label': t(awake ? 'clients.awake' : 'clients.asleep'), title: t(awake ? 'clients.awake' : 'clients.asleep') }),
      el('span', { class: 'named' }, client.name, client.program && el('small', { class: 'quiet' }, client.program)))),
    cell('seen', client.seen ? ago(client.seen) : t('clients.never')),
    figure('calls', number(client.calls)), figure('errors', number(client.errors)), figure('time', duration(client.p95_ms)), figure('waiting', number(waiting)),
    cell('rights', el('span', { class: `chip ${client.enabled ? client.rights : 'off'}` }, extent)),
    el('td', { class: 'last' }, client.declared && el('small', { class: 'quiet' }, t('clients.declared')), client.registered && action(t('clients.change'), () => changeClient(client.name),
      { class: 'plain', 'data-key': `change-${client.name}`, 'aria-label': t('clients.change_one', { client: client.name }) })));
}

export function drawClients() {
  if (!state.clients) return;
  const bar = byId('clients-actions');
  if (bar.dataset.drawn !== t('clients.add')) {
    bar.dataset.drawn = t('clients.add');
    fill(bar, action(t('clients.add'), addClient));
  }
  const head = (name) => el('th', { scope: 'col', class: NUMBERS.includes(name) && 'number-cell' }, t(`clients.${name}`));
  fill(byId('clients'), state.clients.length
    ? el('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-labelledby': 'clients-title' },
      el('table', {}, el('caption', { class: 'unseen' }, t('clients.title')),
        el('thead', {}, el('tr', {}, HEADS.map(head), el('td', {}))), el('tbody', {}, state.clients.map(row))))
    : el('p', { class: 'quiet' }, t('clients.none')));
}

export function drawRefused() {
  const { refused } = state;
  if (!refused?.length) return fill(byId('refused'));
  const item = ({ address, code, title, fix, program, times, last }) => el('li', {},
    el('strong', {}, address ?? '?'), ' ', has(`code.${code}`) ? t(`code.${code}`) : title, ' ',
    el('span', { class: 'chip' }, `${number(times)} ×`), ' ', el('span', { class: 'quiet' }, [ago(last), program].filter(Boolean).join(' · ')),
    el('p', { class: 'quiet' }, has(`fix.${code}`) ? t(`fix.${code}`) : fix));
  fill(byId('refused'),
    el('div', { class: 'head' }, el('h3', {}, t('refused.title')), action(t('refused.clear'), () => change('api/refused/clear'), { class: 'plain' })),
    el('ul', {}, refused.map(item)));
}
