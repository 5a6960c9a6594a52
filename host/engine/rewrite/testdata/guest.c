// The same work as testdata/guest, for a compiler whose code has the loops of
// the source. guest-c.wasm beside it was made with
//   clang --target=wasm32 -O2 -nostdlib -fno-builtin -Wl,--no-entry -Wl,--strip-all -o guest-c.wasm guest.c
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EXPORT(name) __attribute__((export_name(#name)))
enum { SIZE = 64 << 10 };

static u8 data[SIZE], packed[SIZE];
static u32 table[256], values[4096];

static void init(void) {
  if (table[1]) return;
  u32 x = 1;
  for (int i = 0; i < SIZE; i++) { x = x * 1664525 + 1013904223; data[i] = x >> 24; }
  for (u32 i = 0; i < 256; i++) {
    u32 c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
    table[i] = c;
  }
}

EXPORT(crc) u64 crc(int rounds) {
  init();
  u32 sum = 0;
  while (rounds-- > 0) {
    sum = ~sum;
    for (int i = 0; i < SIZE; i++) sum = table[(sum ^ data[i]) & 255] ^ sum >> 8;
    sum = ~sum;
  }
  return sum;
}

EXPORT(fnv) u64 fnv(int rounds) {
  init();
  u64 h = 14695981039346656037u;
  while (rounds-- > 0)
    for (int i = 0; i < SIZE; i++) h = (h ^ data[i]) * 1099511628211u;
  return h;
}

static void quick(u32 *v, int n) {
  while (n > 16) {
    u32 pivot = v[n / 2];
    int i = 0, j = n - 1;
    for (;;) {
      while (v[i] < pivot) i++;
      while (v[j] > pivot) j--;
      if (i >= j) break;
      u32 t = v[i]; v[i++] = v[j]; v[j--] = t;
    }
    quick(v, j + 1);
    v += j + 1;
    n -= j + 1;
  }
  for (int i = 1; i < n; i++) {
    u32 x = v[i];
    int j = i;
    for (; j > 0 && v[j - 1] > x; j--) v[j] = v[j - 1];
    v[j] = x;
  }
}

EXPORT(sorting) u64 sorting(int rounds) {
  init();
  u64 sum = 0;
  for (int r = 0; r < rounds; r++) {
    for (int i = 0; i < 4096; i++)
      values[i] = (data[i * 8] | data[i * 8 + 1] << 8 | data[i * 8 + 2] << 16 | (u32)data[i * 8 + 3] << 24) ^ r;
    quick(values, 4096);
    sum += values[2048];
  }
  return sum;
}

static const u32 K[64] = {
  0x428a2f98,0x71374491,0xb5c0fbcf,0xe9b5dba5,0x3956c25b,0x59f111f1,0x923f82a4,0xab1c5ed5,
  0xd807aa98,0x12835b01,0x243185be,0x550c7dc3,0x72be5d74,0x80deb1fe,0x9bdc06a7,0xc19bf174,
  0xe49b69c1,0xefbe4786,0x0fc19dc6,0x240ca1cc,0x2de92c6f,0x4a7484aa,0x5cb0a9dc,0x76f988da,
  0x983e5152,0xa831c66d,0xb00327c8,0xbf597fc7,0xc6e00bf3,0xd5a79147,0x06ca6351,0x14292967,
  0x27b70a85,0x2e1b2138,0x4d2c6dfc,0x53380d13,0x650a7354,0x766a0abb,0x81c2c92e,0x92722c85,
  0xa2bfe8a1,0xa81a664b,0xc24b8b70,0xc76c51a3,0xd192e819,0xd6990624,0xf40e3585,0x106aa070,
  0x19a4c116,0x1e376c08,0x2748774c,0x34b0bcb5,0x391c0cb3,0x4ed8aa4a,0x5b9cca4f,0x682e6ff3,
  0x748f82ee,0x78a5636f,0x84c87814,0x8cc70208,0x90befffa,0xa4506ceb,0xbef9a3f7,0xc67178f2,
};

static const u32 IV[8] = {0x6a09e667,0xbb67ae85,0x3c6ef372,0xa54ff53a,0x510e527f,0x9b05688c,0x1f83d9ab,0x5be0cd19};

static u32 ror(u32 x, int n) { return x >> n | x << (32 - n); }

EXPORT(sha) u64 sha(int rounds) {
  init();
  u32 h[2] = {0, 0};
  while (rounds-- > 0) {
    u32 s[8];
    for (int i = 0; i < 8; i++) s[i] = IV[i];
    for (int b = 0; b < SIZE; b += 64) {
      u32 w[64];
      for (int i = 0; i < 16; i++) {
        const u8 *p = data + b + i * 4;
        w[i] = (u32)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
      }
      for (int i = 16; i < 64; i++)
        w[i] = (ror(w[i-2], 17) ^ ror(w[i-2], 19) ^ w[i-2] >> 10) + w[i-7] +
               (ror(w[i-15], 7) ^ ror(w[i-15], 18) ^ w[i-15] >> 3) + w[i-16];
      u32 v[8];
      for (int i = 0; i < 8; i++) v[i] = s[i];
      for (int i = 0; i < 64; i++) {
        u32 t1 = v[7] + (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[i] + w[i];
        u32 t2 = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        v[7] = v[6]; v[6] = v[5]; v[5] = v[4]; v[4] = v[3] + t1; v[3] = v[2]; v[2] = v[1]; v[1] = v[0]; v[0] = t1 + t2;
      }
      for (int i = 0; i < 8; i++) s[i] += v[i];
    }
    h[0] = s[0];
    h[1] = s[1];
    data[0] = h[0];
  }
  return (u64)h[0] << 32 | h[1];
}

static u8 *put(u8 *p, u32 v) {
  if (v < 128) { *p++ = v; return p; }
  if (v < 1 << 16) { *p++ = 0xcd; *p++ = v >> 8; *p++ = v; return p; }
  *p++ = 0xce; *p++ = v >> 24; *p++ = v >> 16; *p++ = v >> 8; *p++ = v;
  return p;
}

EXPORT(pack) u64 pack(int rounds) {
  init();
  u64 sum = 0;
  while (rounds-- > 0) {
    u8 *p = packed;
    for (int i = 0; i + 32 < SIZE; i += 32) {
      *p++ = 0x93;
      p = put(p, data[i]);
      p = put(p, data[i] | data[i + 1] << 8 | data[i + 2] << 16 | (u32)data[i + 3] << 24);
      int n = data[i] & 15;
      *p++ = 0xa0 | n;
      for (int k = 0; k < n; k++) *p++ = data[i + k];
    }
    for (u8 *q = packed; q < p;) {
      u8 c = *q++;
      if (c < 0x80) sum += c;
      else if (c == 0xcd) { sum += q[0] << 8 | q[1]; q += 2; }
      else if (c == 0xce) { sum += (u32)q[0] << 24 | q[1] << 16 | q[2] << 8 | q[3]; q += 4; }
      else if ((c & 0xe0) == 0xa0) { for (int k = 0; k < (c & 31); k++) sum += q[k]; q += c & 31; }
    }
  }
  return sum;
}
