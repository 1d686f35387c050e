/* The polynomials of vecmath.h, constant term first: one set for each element type. The size of the weighted error is
 * the part, in ULP, that the fit adds to the error of the function.
 * Written by tools/fit_vecmath.py; do not edit.
 */
#if FNN_F64
static const real_t ERF_SPLIT = (real_t)0.921875;
static const real_t ERF_ONE = (real_t)6.0;
static const real_t CDF_SCALE = (real_t)0.375;
static const real_t CDF_SPLIT = (real_t)1.0;
static const real_t CDF_ZERO = (real_t)39.0;

/* exp(r) = 1 + r + r^2 q(r), |r| <= ln(2)/2; 0.0023 ULP */
static const real_t EXP_POLY[] = {
    0x1p-1,
    0x1.5555555555559p-3,
    0x1.555555555553fp-5,
    0x1.111111110f6dap-7,
    0x1.6c16c16c1f078p-10,
    0x1.a01a01afd3c49p-13,
    0x1.a01a017bc8a77p-16,
    0x1.71ddf87f00b6fp-19,
    0x1.27e536254cc51p-22,
    0x1.af5e7488a0ce9p-26,
    0x1.1ee893ec5d599p-29,
};

/* log(1 + f) = f - f^2/2 + f^3 q(f), sqrt(1/2) <= 1 + f <= sqrt(2); 0.46 ULP */
static const real_t LOG_POLY[] = {
    0x1.55555555551f3p-2,
    -0x1.000000000046fp-2,
    0x1.9999999a2afe8p-3,
    -0x1.555555555b4e3p-3,
    0x1.249248e2bc35ep-3,
    -0x1.ffffff809125bp-4,
    0x1.c71c8e5239034p-4,
    -0x1.9999cad6f918p-4,
    0x1.7459bce6f9f57p-4,
    -0x1.554d2bb3fbf5p-4,
    0x1.3b4b8f1b2d811p-4,
    -0x1.2547cf0ae2239p-4,
    0x1.0f3dc52207307p-4,
    -0x1.eef6d753abf9p-5,
    0x1.e93e5e9f71054p-5,
    -0x1.15da316b4df06p-4,
    0x1.0312383fafbdp-4,
    -0x1.d014b5949ab6ep-6,
};

/* log(1 + t) = t + t^2 q(t - 1/2), 0 <= t <= 1; 0.085 ULP */
static const real_t LOG1P_POLY[] = {
    -0x1.833704d019edp-2,
    0x1.6f0d7bd624beep-3,
    -0x1.7ddf1fe86ababp-4,
    0x1.a279c04c78328p-5,
    -0x1.da348248881e3p-6,
    0x1.131116fc39918p-6,
    -0x1.44ba45d9b3fd4p-7,
    0x1.84904ec06151ap-8,
    -0x1.d5faf1df67fbcp-9,
    0x1.1ebd459a807a8p-9,
    -0x1.6075f5c4b3503p-10,
    0x1.b3dcf8d4399d6p-11,
    -0x1.0ed0b34ee39dcp-11,
    0x1.532db8336208fp-12,
    -0x1.ada9ce76ee2cfp-13,
    0x1.07161a5034a87p-13,
    -0x1.2a2902475ffdfp-14,
    0x1.ba740782f5c6p-15,
    -0x1.ace270c615ef1p-15,
    0x1.a8f9721f1e4afp-16,
};

/* erf(x) = x + x q(x^2), |x| <= ERF_SPLIT; 0.0098 ULP */
static const real_t ERF_POLY[] = {
    0x1.06eba8214db69p-3,
    -0x1.812746b0379dfp-2,
    0x1.ce2f21a042581p-4,
    -0x1.b82ce31266036p-6,
    0x1.565bcd084e86cp-8,
    -0x1.c02db2ba7f936p-11,
    0x1.f9a2fbd60cfe4p-14,
    -0x1.f4ce962533faap-17,
    0x1.b9ae229813a68p-20,
    -0x1.5d3e070796d1fp-23,
    0x1.e052b36079939p-27,
    -0x1.c9e884d1d09ffp-31,
};

/* erf(x) = 1 - exp(q(x)), ERF_SPLIT <= x <= ERF_ONE; 0.022 ULP */
static const real_t ERF_TAIL_POLY[] = {
    -0x1.7089d03166f8dp-24,
    -0x1.20dd65d383ad8p+0,
    -0x1.45f39a6fea9b8p-1,
    -0x1.a4e748caddb92p-4,
    0x1.38fad27bb7133p-6,
    0x1.00547b901628dp-12,
    -0x1.c52eada8f9848p-10,
    0x1.3dc675c075d1fp-11,
    -0x1.5ac5e8ddfdd09p-16,
    -0x1.5eb7a092362efp-14,
    0x1.aa7b89e8c614fp-15,
    -0x1.3703e25f8959ep-16,
    0x1.47d3c4b8c06e7p-18,
    -0x1.048470b07b62cp-20,
    0x1.3829484cc0abfp-23,
    -0x1.12d4dae21bc17p-26,
    0x1.5065d343d8bc8p-30,
    -0x1.ffea97f5617e6p-35,
    0x1.6cc134bcca908p-40,
};

/* Phi(x) = 1/2 + x q(x^2), |x| <= CDF_SPLIT; 0.14 ULP */
static const real_t CDF_POLY[] = {
    0x1.9884533d4364ep-2,
    -0x1.1058377e2cc53p-4,
    0x1.46d042974fd55p-7,
    -0x1.37403f644d5b8p-10,
    0x1.e42b0af4091ffp-14,
    -0x1.3ce8bf4149507p-17,
    0x1.6582bce524d3cp-21,
    -0x1.618c7736e00aap-25,
    0x1.31177640a6da5p-29,
    -0x1.86503b56157c8p-34,
};

/* Phi(-a) = exp(-a^2/2) t q(t - CDF_SCALE), t = 1 / (1 + CDF_SCALE a), CDF_SPLIT <= a <= CDF_ZERO; 0.18 ULP */
static const real_t CDF_TAIL_POLY[] = {
    0x1.d4747670ecd56p-3,
    0x1.249548a0e14cp-2,
    0x1.da101c91030a3p-3,
    0x1.1559049855f3p-4,
    -0x1.3679f40985d7cp-4,
    -0x1.048edd71816fdp-4,
    0x1.68bc673f14517p-5,
    0x1.a1539b6393062p-5,
    -0x1.7a05daa7723e8p-5,
    -0x1.3786063ac47a2p-5,
    0x1.001d2dacf201dp-4,
    0x1.c242d3cc631ebp-7,
    -0x1.51bb4629b99b7p-4,
    0x1.269f692b25131p-5,
    0x1.54c6d5a84d30cp-4,
    -0x1.d945f3eada1afp-4,
    -0x1.9129ebb2935c6p-6,
    0x1.8019e2913c66fp-3,
    -0x1.b23e622c6704bp-4,
    -0x1.3a0321043c7aep-3,
    0x1.5c83e6ed05055p-3,
};

#else
static const real_t ERF_SPLIT = (real_t)0.921875;
static const real_t ERF_ONE = (real_t)4.0;
static const real_t CDF_SCALE = (real_t)0.375;
static const real_t CDF_SPLIT = (real_t)1.0;
static const real_t CDF_ZERO = (real_t)15.0;

/* exp(r) = 1 + r + r^2 q(r), |r| <= ln(2)/2; 0.22 ULP */
static const real_t EXP_POLY[] = {
    0x1.fffffep-2f,
    0x1.5554bp-3f,
    0x1.555674p-5f,
    0x1.122772p-7f,
    0x1.6bec24p-10f,
};

/* log(1 + f) = f - f^2/2 + f^3 q(f), sqrt(1/2) <= 1 + f <= sqrt(2); 0.098 ULP */
static const real_t LOG_POLY[] = {
    0x1.555554p-2f,
    -0x1.000226p-2f,
    0x1.99a006p-3f,
    -0x1.54724ap-3f,
    0x1.22da4p-3f,
    -0x1.0d8542p-3f,
    0x1.055a6ap-3f,
    -0x1.38b2d6p-4f,
};

/* log(1 + t) = t + t^2 q(t - 1/2), 0 <= t <= 1; 0.086 ULP */
static const real_t LOG1P_POLY[] = {
    -0x1.833704p-2f,
    0x1.6f0d76p-3f,
    -0x1.7de0bp-4f,
    0x1.a28586p-5f,
    -0x1.d9945ap-6f,
    0x1.10e878p-6f,
    -0x1.4d80c6p-7f,
    0x1.c635bep-8f,
    -0x1.b2f59p-9f,
};

/* erf(x) = x + x q(x^2), |x| <= ERF_SPLIT; 0.0068 ULP */
static const real_t ERF_POLY[] = {
    0x1.06eba8p-3f,
    -0x1.812744p-2f,
    0x1.ce2e2p-4f,
    -0x1.b8107cp-6f,
    0x1.54dad8p-8f,
    -0x1.aae98cp-11f,
    0x1.5f1156p-14f,
};

/* erf(x) = 1 - exp(q(x)), ERF_SPLIT <= x <= ERF_ONE; 0.00075 ULP */
static const real_t ERF_TAIL_POLY[] = {
    0x1.6f6756p-13f,
    -0x1.21280cp+0f,
    -0x1.444566p-1f,
    -0x1.bb899ap-4f,
    0x1.9b9d44p-6f,
    -0x1.11713ep-8f,
    0x1.c7db4p-12f,
    -0x1.625126p-16f,
};

/* Phi(x) = 1/2 + x q(x^2), |x| <= CDF_SPLIT; 0.0085 ULP */
static const real_t CDF_POLY[] = {
    0x1.988454p-2f,
    -0x1.105826p-4f,
    0x1.46cc3ep-7f,
    -0x1.36d8bp-10f,
    0x1.d9c18p-14f,
    -0x1.f4d3b8p-18f,
};

/* Phi(-a) = exp(-a^2/2) t q(t - CDF_SCALE), t = 1 / (1 + CDF_SCALE a), CDF_SPLIT <= a <= CDF_ZERO; 0.04 ULP */
static const real_t CDF_TAIL_POLY[] = {
    0x1.d47476p-3f,
    0x1.24954ap-2f,
    0x1.da1038p-3f,
    0x1.1555f8p-4f,
    -0x1.368cb2p-4f,
    -0x1.03d602p-4f,
    0x1.6bef7ep-5f,
    0x1.7de008p-5f,
    -0x1.74aecep-5f,
};

#endif
