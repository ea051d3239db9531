"""The life of a request's context: threads, scopes, values. It knows no framework and no WSGI.

In reading order; each module imports only those above it, and the standard library:

    errors           the exceptions, and the functions that word them
    threads          which thread runs here, and when it has ended
    flows            which coroutine or greenlet runs here, where several share a thread
    places           where a context is used without a request, and what to do about it
    namespace        the dict of one request's values, and those that refuse: ended, or outside a request
    attached         the context variable with the scopes that coroutines run in
    observers        who is told when a scope begins and ends
    teardown         what runs at a scope's end
    labels           what names a request in messages
    implementation   picks the C accelerator or the pure-Python implementation of what follows
        _py, _c          attributes.py            what decides about an attribute beside a thread's dict
                         local.py, local.h        the thread-local
                         ending.py, ending.h      which call closes a scope
                         scope.py, scope.h        a scope's way onto a thread and off it
                         body.py, body.h          a body that is run in a scope
                         bound.py, bound.h        a block of code in which a scope is bound
                         attached.py, attached.h  how a scope is attached, and what a context reads from
                         copy.py, copy.h          a copy of a request's values, and code that is run with it
    propagation      how coroutines see a scope: the block in which one is attached
    reports          log lines and counters of requests that did not end as they should
    unleft           scopes that were entered by hand and never left
    scope            Scope: one request's life
    stacks           where code of a request stands now
    copying          what a copy of a request begins with
    early            requests that end before their answer goes out
    annotations      what a class annotates, read without evaluating it
    methods          the methods of a context, which nothing may hide
    missing          the errors about a name without a value, and one that is not declared
    fields           how the class of a context is read
    context          RequestContext
    making           one maker for each per_request value, where several threads share a scope
    per_request      values made on first use

What users need is exported by `tlctx/__init__.py`, and what integrations need by `tlctx/lowlevel.py`.
"""
