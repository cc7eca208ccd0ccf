// Making a client, and changing what one may do.

import { action, change, confirmed, el, opened, toast } from './dom.js';
import { useToken } from './connect.js';
import { fetchTools } from './tools.js';
import { t } from './texts.js';

const PROGRAMS = ['LM Studio', 'n8n', 'Open WebUI', 'Claude Code', 'Cursor', 'VS Code', 'Node-RED'];
const CLASSES = ['lock', 'alarm', 'garage', 'script'];
const POLICIES = ['allow', 'confirm', 'deny'];
const PRIORITIES = ['interactive', 'normal', 'background'];

const path = (name) => `api/clients/${encodeURIComponent(name)}`;
const lines = (text) => text.split('\n').map((line) => line.trim()).filter(Boolean);

/** A field with its label above it, and below it what it means. */
function field(label, control, help) {
  const id = `field-${control.name}`;
  control.id = id;
  if (help) control.setAttribute('aria-describedby', `${id}-help`);
  return el('div', {}, el('label', { for: id }, label), control, help && el('p', { class: 'quiet help', id: `${id}-help` }, help));
}

function select(name, texts, values, chosen) {
  return el('select', { name }, values.map((value) => el('option', { value, selected: value === chosen }, t(`${texts}.${value}`))));
}

const area = (name, values) => el('textarea', { name, rows: '3', class: 'code', spellcheck: 'false' }, (values ?? []).join('\n'));

/** A list of patterns, with the names of the tools at hand: each is put in or taken out by a button. */
function patterns(name, values) {
  const field = area(name, values);
  const names = el('div', { class: 'names' });
  const draw = (tools) => names.replaceChildren(...tools.map((tool) => el('button', {
    type: 'button', class: 'name code', 'aria-pressed': String(lines(field.value).includes(tool.name)), click: ({ currentTarget }) => {
      const chosen = lines(field.value);
      const without = chosen.filter((one) => one !== tool.name);
      field.value = (without.length < chosen.length ? without : [...chosen, tool.name]).join('\n');
      currentTarget.setAttribute('aria-pressed', String(without.length === chosen.length));
    } }, tool.name)));
  const pick = el('details', { class: 'further', toggle: async ({ currentTarget }) => {
    if (!currentTarget.open) return;
    try {
      draw(await fetchTools());
    } catch (error) {
      names.textContent = error.message;
    }
  } }, el('summary', {}, t('rights.pick')), names);
  return [field, pick];
}

/** The fields for the terms of a client. */
function fields(terms) {
  const rights = terms.rights ?? {};
  const [allow, pickAllowed] = patterns('allow', rights.allow);
  const [deny, pickDenied] = patterns('deny', rights.deny);
  const radio = (value, chosen) => el('label', { class: 'choice' },
    el('input', { type: 'radio', name: 'extent', value, checked: chosen }), el('span', {}, t(`rights.${value}_more`)));
  return [
    el('fieldset', {}, el('legend', {}, t('rights.title')), radio('full', !rights.read_only), radio('read_only', Boolean(rights.read_only))),
    field(t('priority.title'), select('priority', 'priority', PRIORITIES, terms.priority ?? 'normal'), t('priority.more')),
    el('details', { class: 'further' }, el('summary', {}, t('rights.further')),
      el('div', { class: 'fields' },
        el('div', {}, field(t('rights.allow'), allow, t('rights.patterns')), pickAllowed),
        el('div', {}, field(t('rights.deny'), deny), pickDenied),
        CLASSES.map((name) => field(t(`sensitive.${name}`), select(name, 'policy', POLICIES, rights.sensitive?.[name] ?? 'allow'))),
        field(t('terms.rate'), el('input', { name: 'rate', value: terms.rate ?? '', placeholder: '60/min', autocomplete: 'off' }), t('terms.rate_more')),
        field(t('terms.timeout'), el('input', { name: 'timeout', type: 'number', min: '1', value: terms.timeout_s ?? '', autocomplete: 'off' })),
        field(t('terms.networks'), area('networks', terms.networks), t('terms.networks_more'))),
      el('label', { class: 'choice' }, el('input', { type: 'checkbox', name: 'path_token', checked: Boolean(terms.path_token) }), el('span', {}, t('terms.path_token'))),
      rights.arguments?.length ? el('p', { class: 'quiet' }, t('rights.arguments', { count: rights.arguments.length })) : null),
  ];
}

/** What stands in the fields, as a merge patch: what is null goes. */
function terms(form) {
  const value = (name) => form.elements[name].value.trim();
  return {
    priority: value('priority'),
    rate: value('rate') || null,
    timeout_s: value('timeout') ? Number(value('timeout')) : null,
    networks: lines(value('networks')),
    path_token: form.elements.path_token.checked,
    rights: {
      read_only: form.elements.extent.value === 'read_only',
      allow: lines(value('allow')),
      deny: lines(value('deny')),
      sensitive: Object.fromEntries(CLASSES.map((name) => [name, value(name)])),
    },
  };
}

const withoutNull = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));

/** A form in a dialog; what `save` throws is shown in it, and it stays open. */
function form(title, contents, label, save, further = []) {
  const wrong = el('p', { class: 'bad', role: 'alert' });
  const submit = el('button', { class: 'main' }, label);
  const body = el('form', { submit: async (event) => {
    event.preventDefault();
    submit.disabled = true;
    try {
      await save(body);
      dialog.close();
    } catch (error) {
      wrong.textContent = error.message;
    } finally {
      submit.disabled = false;
    }
  } }, contents, wrong, el('div', { class: 'actions' }, further, el('span', { class: 'gap' }),
    el('button', { type: 'button', click: () => dialog.close() }, t('page.cancel')), submit));
  const dialog = opened(title, body);
  return dialog;
}

export function addClient() {
  const list = el('datalist', { id: 'programs' }, PROGRAMS.map((value) => el('option', { value })));
  const name = el('input', { name: 'name', required: true, maxlength: '64', list: 'programs', autocomplete: 'off', autofocus: true });
  form(t('clients.add_title'), [el('div', {}, field(t('clients.name'), name, t('clients.name_more')), list), ...fields({})], t('clients.create'), async (body) => {
    const { client, token } = await change('api/clients', { name: name.value.trim(), terms: withoutNull(terms(body)) });
    useToken(client.name, token);
  });
}

export async function changeClient(name) {
  const reply = await fetch(path(name));
  if (!reply.ok) throw new Error(t('clients.gone', { client: name }));
  const client = await reply.json();
  const enabled = !client.enabled;
  const over = (work) => async () => {
    if ((await work()) !== false) dialog.close();
  };
  const dialog = form(name, fields(client.terms), t('page.save'), (body) => change(path(name), { terms: terms(body) }, 'PATCH'), [
    action(t('clients.rotate'), over(() => rotate(name))),
    action(t(enabled ? 'clients.switch_on' : 'clients.switch_off'), over(() => change(path(name), { enabled }, 'PATCH'))),
    action(t('clients.revoke'), over(() => revoke(name)), { class: 'danger' }),
  ]);
}

async function rotate(name) {
  const now = el('input', { type: 'checkbox' });
  const question = [t('clients.rotate_ask'), el('label', { class: 'choice' }, now, el('span', {}, t('clients.rotate_now')))];
  if (!(await confirmed(t('clients.rotate_title', { client: name }), question, t('clients.rotate'), t('page.cancel')))) return false;
  const { token } = await change(`${path(name)}/rotate`, now.checked ? { overlap_s: 0 } : {});
  useToken(name, token);
  return true;
}

async function revoke(name) {
  if (!(await confirmed(t('clients.revoke_title', { client: name }), t('clients.revoke_ask'), t('clients.revoke'), t('page.cancel')))) return false;
  await change(path(name), undefined, 'DELETE');
  toast(t('clients.revoked', { client: name }));
  return true;
}
