// The clients with their figures, and the requests that were not let in.

import { action, byId, change, el, fill } from './dom.js';
import { ago, duration, has, number, t } from './texts.js';
import { state } from './state.js';

const cell = (value) => el('td', { class: 'number-cell' }, value);

function row(client) {
  const awake = Date.now() - client.seen < 300000;
  const waiting = state.queue?.waiting_by_client[client.name] ?? 0;
  return el('tr', {},
    el('th', { scope: 'row' }, el('span', { class: 'state' },
      el('span', { class: `mark ${awake ? 'good' : 'idle'}`, title: t(awake ? 'clients.awake' : 'clients.asleep') }), client.name)),
    el('td', {}, ago(client.seen)),
    el('td', { class: 'wide' }, client.program ?? '–'),
    cell(number(client.calls)), cell(number(client.errors)), cell(duration(client.p95_ms)), cell(number(waiting)));
}

export function drawClients() {
  if (!state.clients) return;
  const heads = ['name', 'seen', 'program', 'calls', 'errors', 'time', 'waiting'];
  const numbers = ['calls', 'errors', 'time', 'waiting'];
  const head = (name) => el('th', { scope: 'col', class: numbers.includes(name) ? 'number-cell' : name === 'program' ? 'wide' : false }, t(`clients.${name}`));
  fill(byId('clients'), state.clients.length
    ? el('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-labelledby': 'clients-title' },
      el('table', {}, el('caption', { class: 'unseen' }, t('clients.title')), el('thead', {}, el('tr', {}, heads.map(head))), el('tbody', {}, state.clients.map(row))))
    : el('p', { class: 'quiet' }, t('clients.none')));
}

export function drawRefused() {
  const { refused } = state;
  if (!refused?.length) return fill(byId('refused'));
  const item = ({ address, code, program, times, last }) => el('li', {},
    el('strong', {}, address ?? '?'), ' ', has(`code.${code}`) ? t(`code.${code}`) : code, ' ',
    el('span', { class: 'chip' }, `${number(times)} ×`), ' ', el('span', { class: 'quiet' }, [ago(last), program].filter(Boolean).join(' · ')),
    has(`fix.${code}`) && el('p', { class: 'quiet' }, t(`fix.${code}`)));
  fill(byId('refused'),
    el('div', { class: 'head' }, el('h3', {}, t('refused.title')), action(t('refused.clear'), () => change('api/refused/clear'), { class: 'plain' })),
    el('ul', {}, refused.map(item)));
}
