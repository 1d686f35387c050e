/* The polynomials of vecmath.h, constant term first: one set for each element type. The size of the weighted error is
 * the part, in ULP, that the fit adds to the error of the function.
 * Written by tools/fit_vecmath.py; do not edit.
 */
#if FNN_F64
#define CDF_SCALE (real_t)0.25

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

/* log(1 + t) = t + t^2 q(t), 0 <= t <= 1; 0.085 ULP */
static const real_t LOG1P_POLY[] = {
    -0x1.fffffffffff9fp-2,
    0x1.555555555102bp-2,
    -0x1.fffffffdd3ccp-3,
    0x1.99999951e6899p-3,
    -0x1.55554fbd30d77p-3,
    0x1.2491fecd8e986p-3,
    -0x1.fffa8b1defad9p-4,
    0x1.c6f6a47f06a51p-4,
    -0x1.98d287841a4bfp-4,
    0x1.712dc662995cbp-4,
    -0x1.4b01ac05e30adp-4,
    0x1.202d13279d585p-4,
    -0x1.d70eb9fcaaffap-5,
    0x1.5a862279d1447p-5,
    -0x1.b62d0aa274d8bp-6,
    0x1.c577909b01694p-7,
    -0x1.6b47095afa954p-8,
    0x1.a251ef2e97158p-10,
    -0x1.31f069db3cba6p-12,
    0x1.a8f9721f1e4afp-16,
};

/* erf(x) = x + x q(x^2), |x| <= 0.921875; 0.0098 ULP */
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

/* erf(x) = 1 - exp(q(x)), 0.921875 <= x <= 6; 0.022 ULP */
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

/* Phi(-a) = exp(-a^2/2) (1 - u) (1/2 + u q(u)), u = 0.25 a / (1 + 0.25 a); 0.013 ULP */
static const real_t CDF_POLY[] = {
    -0x1.1884533d4364fp+0,
    0x1.4ef759857924dp+0,
    -0x1.989d6b525bfa2p-1,
    0x1.2e7c345018fa1p-4,
    0x1.6e9bde197ccap-3,
    -0x1.ecd0c02c07bc3p-6,
    -0x1.be31f1c4ff611p-5,
    -0x1.f6b2b691c2bd8p-12,
    0x1.1f5543ad3f9cap-6,
    0x1.bb2a1d68b9366p-8,
    -0x1.a47f85f4282p-8,
    0x1.dda38f27ca1bcp-8,
    -0x1.2d9997b2e1494p-5,
    0x1.7e2066d0b8937p-4,
    -0x1.7e117e6955c5bp-3,
    0x1.37049b313b218p-2,
    -0x1.8da65e7500939p-2,
    0x1.8afa895cd5e2fp-2,
    -0x1.2a9c62ded4113p-2,
    0x1.491a398f7ad93p-3,
    -0x1.ed9c08628827ap-5,
    0x1.bf86051e3e939p-7,
    -0x1.71166198215d7p-10,
};

#else
#define CDF_SCALE (real_t)0.3125

/* exp(r) = 1 + r + r^2 q(r), |r| <= ln(2)/2; 0.22 ULP */
static const real_t EXP_POLY[] = {
    0x1.fffffep-2f,
    0x1.5554bp-3f,
    0x1.555674p-5f,
    0x1.122772p-7f,
    0x1.6bec24p-10f,
};

/* log(1 + f) = f - f^2/2 + f^3 q(f), sqrt(1/2) <= 1 + f <= sqrt(2); 0.53 ULP */
static const real_t LOG_POLY[] = {
    0x1.5556d8p-2f,
    -0x1.00038p-2f,
    0x1.98d7f6p-3f,
    -0x1.538264p-3f,
    0x1.317458p-3f,
    -0x1.2431f6p-3f,
    0x1.645cc2p-4f,
};

/* log(1 + t) = t + t^2 q(t), 0 <= t <= 1; 0.086 ULP */
static const real_t LOG1P_POLY[] = {
    -0x1.ffffd2p-2f,
    0x1.554dfp-2f,
    -0x1.ff26e2p-3f,
    0x1.935cap-3f,
    -0x1.3a7a82p-3f,
    0x1.b579c2p-4f,
    -0x1.d86324p-5f,
    0x1.4b0838p-6f,
    -0x1.b2f59p-9f,
};

/* erf(x) = x + x q(x^2), |x| <= 0.921875; 0.0068 ULP */
static const real_t ERF_POLY[] = {
    0x1.06eba8p-3f,
    -0x1.812744p-2f,
    0x1.ce2e2p-4f,
    -0x1.b8107cp-6f,
    0x1.54dad8p-8f,
    -0x1.aae98cp-11f,
    0x1.5f1156p-14f,
};

/* erf(x) = 1 - exp(q(x)), 0.921875 <= x <= 4; 0.00075 ULP */
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

/* Phi(-a) = exp(-a^2/2) (1 - u) (1/2 + u q(u)), u = 0.3125 a / (1 + 0.3125 a); 0.19 ULP */
static const real_t CDF_POLY[] = {
    -0x1.8da06ap-1f,
    0x1.037278p-1f,
    -0x1.bc213cp-8f,
    -0x1.0515fp-3f,
    0x1.820f7p-8f,
    -0x1.4b91fep-6f,
    0x1.a7fc8ep-4f,
    -0x1.44b49p-4f,
    0x1.35e9acp-6f,
};

#endif
