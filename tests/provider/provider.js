// The authorization server of the tests: the certified `oidc-provider` on a free port of loopback.
//
//   node provider.js < commands > answers
//
// The first line on stdin is its set-up, every further line a command: {"id": 1, "do": NAME, ..}.
// On stdout it says one JSON object a line: {"ready": {..}}, {"id": 1, "result": ..} or
// {"id": 1, "error": ".."}, and {"event": "request" | "answer", ..} for what it was asked. It ends
// with stdin, so that it never outlives its test.
//
// `tests/gateway/bench/provider.rs` is the other side.

import * as crypto from 'node:crypto';
import * as https from 'node:https';
import * as readline from 'node:readline';

import { decodeJwt, decodeProtectedHeader, importJWK, jwtVerify } from 'jose';
import { Provider } from 'oidc-provider';
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';
import ResourceServer from 'oidc-provider/lib/helpers/resource_server.js';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** What the commands change. */
const state = {
  setup: {},
  keys: [],
  made: 0,
  cookies: [crypto.randomBytes(32).toString('hex')],
  nonceSecret: crypto.randomBytes(32),
  user: 'alice',
  users: {},
  forms: false,
  ttl: {},
  faults: [],
  tamper: null,
  reach: {},
  discovery: {},
  requireNonce: false,
  provider: null,
  requests: 0,
};

// --- keys -----------------------------------------------------------------------------------------

const KINDS = {
  ES256: () => ['ec', { namedCurve: 'P-256' }],
  ES384: () => ['ec', { namedCurve: 'P-384' }],
  EdDSA: () => ['ed25519', {}],
  RS256: () => ['rsa', { modulusLength: 2048 }],
  PS256: () => ['rsa', { modulusLength: 2048 }],
};

/** Makes one key of each algorithm of the set-up; they sign from the next provider on. */
function makeKeys() {
  state.made += 1;
  const made = state.setup.algorithms.map((alg) => {
    const { privateKey } = crypto.generateKeyPairSync(...KINDS[alg]());
    const kid = `${alg.toLowerCase()}-${state.made}`;
    return { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg };
  });
  state.keys = [...made, ...state.keys];
}

const kids = () => state.keys.map((key) => key.kid);

/** Signs any header and claims, with a key of ours unless `none` is wished. */
async function sign({ header = {}, claims, kid, jwk }) {
  const key = jwk ?? state.keys.find((known) => (kid ? known.kid === kid : known.alg === 'ES256'));
  const full = { alg: key.alg, kid: key.kid, ...header };
  for (const [name, value] of Object.entries(full)) if (value === null) delete full[name];
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${encode(full)}.${encode(claims)}`;
  return `${text}.${signature(full.alg, key, Buffer.from(text)).toString('base64url')}`;
}

/** Not by `jose`, which makes nothing that a standard forbids. */
function signature(alg, jwk, text) {
  if (alg === 'none') return Buffer.alloc(0);
  const key = crypto.createPrivateKey({ key: jwk, format: 'jwk' });
  if (alg === 'HS256') {
    // The public key as the secret: what a server would take that lets the token choose.
    const secret = crypto.createPublicKey(key).export({ type: 'spki', format: 'pem' });
    return crypto.createHmac('sha256', secret).update(text).digest();
  }
  if (alg === 'EdDSA') return crypto.sign(null, text, key);
  const hash = `sha${alg.slice(2)}`;
  if (alg.startsWith('ES')) return crypto.sign(hash, text, { key, dsaEncoding: 'ieee-p1363' });
  const padding = alg.startsWith('PS')
    ? { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: crypto.constants.RSA_PSS_SALTLEN_DIGEST }
    : {};
  return crypto.sign(hash, text, { key, ...padding });
}

// --- the provider ---------------------------------------------------------------------------------

/** One store for every provider of this process: a rotation forgets nothing. */
const shared = (() => {
  const entries = new Map();
  const live = (key) => {
    const entry = entries.get(key);
    if (entry && entry.until <= Date.now()) entries.delete(key);
    return entries.get(key);
  };
  return {
    get: (key) => live(key)?.value,
    delete: (key) => entries.delete(key),
    set: (key, value, options) =>
      entries.set(key, { value, until: Date.now() + (options?.maxAge ?? 1e12) }),
  };
})();

class Adapter extends MemoryAdapter {
  constructor(model) {
    super(model, shared);
  }
}

/**
 * A resource says what its tokens are: `urn:FORMAT:ALGORITHM:AUDIENCE`, for example
 * `urn:jwt:ES256:orders-api`, `urn:opaque::orders-api`.
 */
function resourceServer(resource, scope) {
  const [, format, alg, ...audience] = resource.split(':');
  return {
    scope: scope ?? '',
    audience: audience.join(':'),
    accessTokenFormat: format === 'opaque' ? 'opaque' : 'jwt',
    accessTokenTTL: state.ttl.AccessToken,
    ...(format === 'opaque' ? {} : { jwt: { sign: { alg } } }),
  };
}

const pem = (certificate) => new crypto.X509Certificate(certificate.raw).toString();

function peerCertificate(ctx) {
  const certificate = ctx.socket.getPeerCertificate();
  return certificate?.raw ? pem(certificate) : undefined;
}

function subjectMatches(ctx, property, expected) {
  const certificate = new crypto.X509Certificate(ctx.socket.getPeerCertificate().raw);
  const names = (certificate.subjectAltName ?? '').split(', ');
  switch (property) {
    case 'tls_client_auth_san_uri': return names.includes(`URI:${expected}`);
    case 'tls_client_auth_san_dns': return names.includes(`DNS:${expected}`);
    case 'tls_client_auth_subject_dn': return certificate.subject.split('\n').join(',') === expected;
    default: return false;
  }
}

/** Claims that a request to the token endpoint wishes for its token: `extra={"tenant": ".."}`. */
const wished = (ctx) => (ctx.oidc.body?.extra ? JSON.parse(ctx.oidc.body.extra) : {});

function configuration() {
  const ttl = (name, seconds) => () => state.ttl[name] ?? seconds;
  const hour = 3600;
  return {
    adapter: Adapter,
    clients: state.setup.clients,
    jwks: { keys: state.keys },
    cookies: { keys: state.cookies },
    clientDefaults: {
      id_token_signed_response_alg: 'ES256',
      introspection_signed_response_alg: 'ES256',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
    },
    scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
    claims: {
      sid: null,
      auth_time: null,
      openid: ['sub'],
      profile: ['name'],
      email: ['email'],
      groups: ['groups', 'tenant'],
    },
    conformIdTokenClaims: false,
    responseTypes: ['code'],
    clientAuthMethods: [
      'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt',
      'tls_client_auth', 'self_signed_tls_client_auth', 'none',
    ],
    discovery: state.discovery,
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    findAccount: (_ctx, sub) => ({
      accountId: sub,
      claims: () => ({ sub, ...state.users[sub] }),
    }),
    extraTokenClaims: (ctx, token) => ({
      ...(token.accountId ? state.users[token.accountId] : {}),
      ...wished(ctx),
      ...(token.gty === 'token_exchange' ? { act: { sub: token.clientId } } : {}),
    }),
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    ttl: {
      AccessToken: ttl('AccessToken', hour),
      AuthorizationCode: ttl('AuthorizationCode', 60),
      ClientCredentials: ttl('AccessToken', hour),
      Grant: ttl('Grant', 24 * hour),
      IdToken: ttl('IdToken', hour),
      Interaction: ttl('Interaction', hour),
      RefreshToken: ttl('RefreshToken', 24 * hour),
      Session: ttl('Session', 24 * hour),
    },
    fetch: reach,
    features: {
      devInteractions: { enabled: state.forms },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: () => true },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        ...(state.forms ? {} : { logoutSource }),
      },
      dPoP: {
        enabled: true,
        nonceSecret: state.nonceSecret,
        requireNonce: () => state.requireNonce,
      },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: peerCertificate,
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: subjectMatches,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_ctx, _client, oneOf) => oneOf?.[0],
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) =>
          resourceServer(resource, ctx.oidc.params?.scope ?? ctx.oidc.entities.RefreshToken?.scope),
      },
    },
  };
}

/** Takes the configuration of now; sessions, codes and tokens stay. */
function renew() {
  const provider = new Provider(state.setup.issuer, configuration());
  provider.registerGrantType(
    TOKEN_EXCHANGE,
    (ctx) => exchange(provider, ctx),
    ['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type',
      'requested_token_type', 'audience', 'resource', 'scope'],
    ['audience', 'resource'],
  );
  provider.use(async (ctx, next) => {
    if (!state.forms && ctx.path.startsWith('/interaction/')) return interact(provider, ctx);
    await next();
    if (ctx.path === '/token') await tamper(ctx);
    return undefined;
  });
  provider.on('server_error', (_ctx, error) => console.error(error));
  for (const name of ['authorization.error', 'grant.error', 'introspection.error', 'end_session.error', 'backchannel.error']) {
    provider.on(name, (_ctx, error) => console.error(name, error.error, error.error_description, error.error_detail ?? error.message));
  }
  state.provider = provider.callback();
}

/** Logs in the user of now, and consents, without a question. */
async function interact(provider, ctx) {
  const { params } = await provider.interactionDetails(ctx.req, ctx.res);
  if (!state.user) {
    const refused = { error: 'access_denied', error_description: 'the user said no' };
    await provider.interactionFinished(ctx.req, ctx.res, refused);
  } else {
    const accountId = params.login_hint ?? state.user;
    const grant = new provider.Grant({ accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    for (const resource of [params.resource ?? []].flat()) {
      grant.addResourceScope(resource, params.scope);
    }
    const result = { login: { accountId }, consent: { grantId: await grant.save() } };
    await provider.interactionFinished(ctx.req, ctx.res, result);
  }
  ctx.respond = false;
}

/** Logs out without a question. */
function logoutSource(ctx, form) {
  ctx.body = `<!DOCTYPE html><html><body onload="document.forms[0].submit()">${form.replace(
    '</form>',
    '<input type="hidden" name="logout" value="yes"/></form>',
  )}</body></html>`;
}

/** RFC 8693, for access tokens of ours; the caller becomes the actor. */
async function exchange(provider, ctx) {
  const { client, params } = ctx.oidc;
  const refuse = (status, error, description) => {
    ctx.status = status;
    ctx.body = { error, error_description: description };
  };
  if (params.subject_token_type !== ACCESS_TOKEN && params.subject_token_type !== 'urn:ietf:params:oauth:token-type:jwt') {
    return refuse(400, 'invalid_request', 'subject_token_type is not known');
  }
  const subject = await subjectOf(provider, params.subject_token);
  if (!subject) return refuse(400, 'invalid_request', 'the subject token is not one of ours, or over');
  const target = [params.audience ?? params.resource ?? 'upstream'].flat()[0];
  if (target === 'forbidden') return refuse(400, 'invalid_target', 'not for this one');
  const scope = params.scope ?? subject.scope;
  const resource = target.startsWith('urn:jwt:') || target.startsWith('urn:opaque:')
    ? target : `urn:jwt:ES256:${target}`;
  const token = new provider.AccessToken({ accountId: subject.sub, client, gty: 'token_exchange', scope });
  token.resourceServer = new ResourceServer(resource, resourceServer(resource, scope));
  const accessToken = await token.save();
  ctx.body = {
    access_token: accessToken,
    issued_token_type: ACCESS_TOKEN,
    token_type: 'Bearer',
    expires_in: token.expiration,
    scope,
  };
  return undefined;
}

async function subjectOf(provider, value) {
  if (!value) return undefined;
  if (value.split('.').length === 3) {
    const { kid } = decodeProtectedHeader(value);
    const jwk = state.keys.find((key) => key.kid === kid) ?? (state.setup.trusted ?? []).find((key) => key.kid === kid);
    if (!jwk) return undefined;
    const { d, ...open } = jwk;
    return jwtVerify(value, await importJWK(open, open.alg)).then(({ payload }) => payload, () => undefined);
  }
  const found = await provider.AccessToken.find(value) ?? await provider.ClientCredentials.find(value);
  return found?.isValid ? { sub: found.accountId ?? found.clientId, scope: found.scope } : undefined;
}

/** Changes the ID token of an answer, as an attacker or a broken server would. */
async function tamper(ctx) {
  if (!state.tamper || !ctx.body?.id_token) return;
  const { header = {}, claims = {}, raw, kid, jwk } = state.tamper;
  if (raw !== undefined) {
    ctx.body = { ...ctx.body, id_token: raw };
    return;
  }
  const changed = { ...decodeJwt(ctx.body.id_token), ...claims };
  for (const [name, value] of Object.entries(changed)) if (value === null) delete changed[name];
  ctx.body = { ...ctx.body, id_token: await sign({ header, claims: changed, kid, jwk }) };
}

/** How the provider itself asks others (back-channel logout): hosts are where the test says. */
async function reach(url, options) {
  const { hostname, pathname, search } = new URL(url);
  const at = state.reach[hostname];
  if (!at) throw new Error(`${hostname} is not within reach`);
  return new Promise((resolve, reject) => {
    const request = https.request({
      host: '127.0.0.1', port: at.port, servername: hostname, path: pathname + search,
      method: options.method, cert: at.cert, key: at.key, agent: false,
      // Its authority and its certificate have one name, which OpenSSL takes for self-signed.
      rejectUnauthorized: false,
      headers: { ...Object.fromEntries(new Headers(options.headers)), host: hostname },
    }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('end', () => {
        const empty = answer.statusCode === 204;
        say({ event: 'reached', url, status: answer.statusCode });
        resolve(new Response(empty ? null : Buffer.concat(pieces), { status: answer.statusCode }));
      });
    });
    request.on('socket', (socket) => socket.on('secureConnect', () => {
      const peer = new crypto.X509Certificate(socket.getPeerCertificate().raw);
      const known = peer.verify(new crypto.X509Certificate(at.ca).publicKey);
      if (!known || !peer.checkHost(hostname)) socket.destroy(new Error('not the gateway'));
    }));
    request.on('error', (error) => {
      say({ event: 'reached', url, error: String(error) });
      reject(error);
    });
    request.end(options.body?.toString());
  });
}

// --- the server -----------------------------------------------------------------------------------

/** A fault for this request, if one is set: it is used up after `times`. */
function fault(path) {
  const found = state.faults.find((one) => path === one.path && one.times !== 0);
  if (found?.times) found.times -= 1;
  return found;
}

function serve(request, response) {
  const { pathname, search } = new URL(request.url, 'https://localhost');
  const number = state.requests;
  state.requests += 1;
  const peer = request.socket.getPeerCertificate();
  say({
    event: 'request',
    number,
    method: request.method,
    path: pathname,
    query: search,
    headers: request.headers,
    certificate: peer?.fingerprint256?.replaceAll(':', '').toLowerCase(),
  });
  response.on('close', () => say({ event: 'answer', number, status: response.statusCode }));
  const wrong = fault(pathname);
  if (!wrong) {
    state.provider(request, response);
  } else if (wrong.how === 'hang') {
    request.resume();
  } else if (wrong.how === 'close') {
    request.socket.destroy();
  } else {
    const answer = () => {
      response.writeHead(wrong.status ?? 500, wrong.headers ?? {});
      response.end(wrong.body ?? '');
    };
    request.resume();
    setTimeout(answer, wrong.delay ?? 0);
  }
}

const commands = {
  /** New keys, which sign from now on; the old ones stay published. */
  rotate: () => { makeKeys(); renew(); return kids(); },
  /** Takes a key out of the JWKS. */
  remove: ({ kid }) => { state.keys = state.keys.filter((key) => key.kid !== kid); renew(); return kids(); },
  keys: () => state.keys,
  faults: ({ faults }) => { state.faults = faults; },
  tamper: ({ tamper: wish }) => { state.tamper = wish; },
  sign: (wish) => sign(wish),
  user: ({ sub, claims }) => {
    state.user = sub;
    if (sub && claims) state.users[sub] = claims;
  },
  /** Whether its own pages ask who it is, for consent, and before a logout. */
  forms: ({ shown }) => { state.forms = shown; renew(); },
  ttl: ({ ttl }) => { Object.assign(state.ttl, ttl); },
  reach: ({ host, ...at }) => { state.reach[host] = at; },
  discovery: ({ discovery }) => { state.discovery = discovery; renew(); },
  nonces: ({ required }) => { state.requireNonce = required; },
  /** Adds a client, or changes one. */
  client: ({ client }) => {
    state.setup.clients = state.setup.clients.filter((one) => one.client_id !== client.client_id);
    state.setup.clients.push(client);
    renew();
  },
};

async function command(line) {
  const { id, do: name, ...wish } = JSON.parse(line);
  try {
    say({ id, result: (await commands[name](wish)) ?? null });
  } catch (error) {
    say({ id, error: String(error?.stack ?? error) });
  }
}

const lines = readline.createInterface({ input: process.stdin });
lines.once('line', (first) => {
  state.setup = { algorithms: ['ES256'], ...JSON.parse(first) };
  state.users = state.setup.users ?? {};
  const { key, cert, ca } = state.setup;
  const server = https.createServer({
    key, cert, ca, requestCert: true, rejectUnauthorized: false,
    // A resumed session would come without the client's certificate.
    secureOptions: crypto.constants.SSL_OP_NO_TICKET,
  }, serve);
  server.keepAliveTimeout = 60_000;
  server.listen(state.setup.port ?? 0, '127.0.0.1', () => {
    const { port } = server.address();
    state.setup.issuer = `https://localhost:${port}`;
    makeKeys();
    renew();
    lines.on('line', command);
    say({ ready: { port, issuer: state.setup.issuer } });
  });
});
lines.once('close', () => process.exit(0));
