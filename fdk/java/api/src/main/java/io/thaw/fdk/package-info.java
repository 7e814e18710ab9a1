/** What Thaw adds to Fn's API: secrets, and the environment as it is now. Functions that don't use it run anywhere. */
package io.thaw.fdk;
